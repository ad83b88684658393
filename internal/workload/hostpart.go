package workload

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
	"github.com/prekzursil/momentstudio-infra/internal/render"
)

// HostPart is what one part of a stack adds to the configuration of the host. components/hostapply applies all parts in
// one job.
type HostPart struct {
	Directories []hostspec.Directory  // made with owner and mode when missing
	Files       []hostspec.File       // plain files
	Timers      []render.Timer        // enabled and started; one that is no longer listed is disabled and removed
	Secrets     map[string]HostSecret // by absolute path on the host; mode 0400
	// Facts are NAME=value and nothing secret: the job ignores them, and a preview shows what of the secret files has
	// changed.
	Facts pulumi.StringArray
}

// HostSecret is the content of one secret file.
type HostSecret struct {
	Content pulumi.StringInput
	UID     int  // owner; default root
	KeepOld bool // whether older content stays until its user has changed over
}
