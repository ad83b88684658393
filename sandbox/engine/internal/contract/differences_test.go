package contract

// differences lists where a plugin is known not to be what the SDK says. The test fails on a
// line too many and on a line too few.
var differences = map[string][]string{
	// Action parameters that nothing in the program uses. A program that sets one is stopped,
	// because the plugin does not know the field.
	"cloudflare": {
		"Ruleset.rules.actionParameters.algorithms: only in the SDK",
		"Ruleset.rules.actionParameters.autominifies: only in the SDK",
		"Ruleset.rules.actionParameters.cacheKey: only in the SDK",
		"Ruleset.rules.actionParameters.cacheReserve: only in the SDK",
		"Ruleset.rules.actionParameters.cookieFields: only in the SDK",
		"Ruleset.rules.actionParameters.fromList: only in the SDK",
		"Ruleset.rules.actionParameters.matchedData: only in the SDK",
		"Ruleset.rules.actionParameters.origin: only in the SDK",
		"Ruleset.rules.actionParameters.overrides: only in the SDK",
		"Ruleset.rules.actionParameters.requestFields: only in the SDK",
		"Ruleset.rules.actionParameters.responseFields: only in the SDK",
		"Ruleset.rules.actionParameters.rules: only in the SDK",
		"Ruleset.rules.actionParameters.sni: only in the SDK",
	},
	// The plugin wraps release 4.6 of its provider, the published package release 3.9. Fields
	// that only the plugin has cannot be named by a program compiled against the SDK. The last
	// two can: checkDuplicate is gone, and a ServiceConfig without data is refused later.
	"docker": {
		"Container.deviceCgroupRules: only in the plugin",
		"Container.deviceReadBps: only in the plugin",
		"Container.deviceReadIops: only in the plugin",
		"Container.deviceRequests: only in the plugin",
		"Container.deviceWriteBps: only in the plugin",
		"Container.deviceWriteIops: only in the plugin",
		"Container.networksAdvanced.driverOpts: only in the plugin",
		"Container.networksAdvanced.gwPriority: only in the plugin",
		"Container.networksAdvanced.linkLocalIps: only in the plugin",
		"Container.platform: only in the plugin",
		"Container.uploads.group: only in the plugin",
		"Container.uploads.owner: only in the plugin",
		"Container.volumes.selinuxRelabel: only in the plugin",
		"RegistryImage.build.provenance: only in the plugin",
		"RegistryImage.build.sbom: only in the plugin",
		"RegistryImage.build.useLegacyBuilder: only in the plugin",
		"RemoteImage.build.provenance: only in the plugin",
		"RemoteImage.build.sbom: only in the plugin",
		"RemoteImage.build.useLegacyBuilder: only in the plugin",
		"Service.taskSpec.networksAdvanceds.id: only in the plugin",
		"ServiceConfig.dataRaw: only in the plugin",
		"ServiceConfig.labels: only in the plugin",
		"Network.checkDuplicate: only in the SDK",
		"ServiceConfig.data: required in one of both only",
	},
}
