// Command edge is a small Pulumi program that creates one of each Cloudflare resource.
package main

import (
	"fmt"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
)

const version = "5.49.1"

type provider struct{ pulumi.ProviderResourceState }

type widget struct {
	pulumi.CustomResourceState
	Secret pulumi.StringOutput `pulumi:"secret"`
}

type record struct {
	pulumi.CustomResourceState
	Hostname pulumi.StringOutput `pulumi:"hostname"`
	TTL      pulumi.IntOutput    `pulumi:"ttl"`
}

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		zone, account := pulumi.String(os.Getenv("EDGE_ZONE")), pulumi.String(os.Getenv("EDGE_ACCOUNT"))
		p := &provider{}
		if err := ctx.RegisterResource("pulumi:providers:cloudflare", "cf", pulumi.Map{
			"apiToken":    pulumi.ToSecret(pulumi.String(os.Getenv("EDGE_TOKEN"))),
			"apiHostname": pulumi.String(os.Getenv("EDGE_HOST")),
			"rps":         pulumi.Int(100),
			"minBackoff":  pulumi.Int(0),
		}, p, pulumi.Version(version)); err != nil {
			return fmt.Errorf("provider: %w", err)
		}
		with := pulumi.Provider(p)
		www := &record{}
		if err := ctx.RegisterResource("cloudflare:index/record:Record", "www", pulumi.Map{
			"zoneId": zone, "name": pulumi.String(config.Require(ctx, "recordName")), "type": pulumi.String("A"),
			"content": pulumi.String(config.Require(ctx, "address")), "proxied": pulumi.Bool(true),
			"comment": pulumi.String("made by a test"),
		}, www, with, pulumi.Version(version)); err != nil {
			return fmt.Errorf("record: %w", err)
		}
		if err := ctx.RegisterResource("cloudflare:index/record:Record", "caa", pulumi.Map{
			"zoneId": zone, "name": pulumi.String("@"), "type": pulumi.String("CAA"), "ttl": pulumi.Int(300),
			"data": pulumi.Map{
				"flags": pulumi.String("0"), "tag": pulumi.String("issue"), "value": pulumi.String("letsencrypt.org"),
			},
		}, &record{}, with, pulumi.Version(version)); err != nil {
			return fmt.Errorf("structured record: %w", err)
		}
		w := &widget{}
		if err := ctx.RegisterResource("cloudflare:index/turnstileWidget:TurnstileWidget", "widget", pulumi.Map{
			"accountId": account, "name": pulumi.String("shop"), "mode": pulumi.String("managed"),
			"domains": pulumi.StringArray{pulumi.String("momentstudio.test")},
		}, w, with, pulumi.Version(version)); err != nil {
			return fmt.Errorf("widget: %w", err)
		}
		for phase, rules := range rulesets(config.Require(ctx, "address")) {
			if err := ctx.RegisterResource("cloudflare:index/ruleset:Ruleset", phase, pulumi.Map{
				"zoneId": zone, "name": pulumi.String("default"), "kind": pulumi.String("zone"),
				"phase": pulumi.String(phase), "rules": rules,
			}, &record{}, with, pulumi.Version(version)); err != nil {
				return fmt.Errorf("ruleset: %w", err)
			}
		}
		var found struct {
			ZoneID string `pulumi:"zoneId"`
		}
		if err := ctx.Invoke("cloudflare:index/getZone:getZone", struct {
			Name string `pulumi:"name"`
		}{"momentstudio.test"}, &found, with, pulumi.Version(version)); err != nil {
			return fmt.Errorf("look up zone: %w", err)
		}
		ctx.Export("zone", pulumi.String(found.ZoneID))
		ctx.Export("hostname", www.Hostname)
		ctx.Export("ttl", www.TTL)
		ctx.Export("siteKey", w.ID())
		ctx.Export("secret", w.Secret)
		return nil
	})
}

// rulesets uses each shape that differs between state and API.
func rulesets(address string) map[string]pulumi.Array {
	rule := func(description, action string, more pulumi.Map) pulumi.Map {
		more["description"], more["action"] = pulumi.String(description), pulumi.String(action)
		more["expression"] = pulumi.String(`http.request.uri.path contains "/api"`)
		return more
	}
	return map[string]pulumi.Array{
		"http_ratelimit": {rule("rate", "block", pulumi.Map{
			"ratelimit": pulumi.Map{
				"characteristics": pulumi.ToStringArray([]string{"ip.src", "cf.colo.id"}),
				"period":          pulumi.Int(10), "requestsPerPeriod": pulumi.Int(20), "mitigationTimeout": pulumi.Int(10),
			},
			"actionParameters": pulumi.Map{"responses": pulumi.Array{pulumi.Map{
				"statusCode": pulumi.Int(429), "content": pulumi.String("{}"), "contentType": pulumi.String("application/json"),
			}}},
		})},
		"http_request_late_transform": {rule("headers "+address, "rewrite", pulumi.Map{
			"actionParameters": pulumi.Map{"headers": pulumi.Array{
				pulumi.Map{"name": pulumi.String("X-A"), "operation": pulumi.String("set"), "value": pulumi.String("a")},
				pulumi.Map{"name": pulumi.String("X-B"), "operation": pulumi.String("remove")},
			}},
		})},
		"http_request_cache_settings": {rule("cache", "set_cache_settings", pulumi.Map{
			"enabled": pulumi.Bool(false),
			"actionParameters": pulumi.Map{
				"cache":   pulumi.Bool(true),
				"edgeTtl": pulumi.Map{"mode": pulumi.String("override_origin"), "default": pulumi.Int(60)},
			},
		})},
	}
}
