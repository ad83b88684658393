// Command smoke is a small Pulumi program that uses what the real one relies on: explicit
// providers, secrets, replacement and deletion that follow another resource, and a hook.
package main

import (
	"fmt"
	"os"

	"github.com/pulumi/pulumi-docker/sdk/v4/go/docker"
	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
)

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		generation := config.Require(ctx, "generation")
		generator, err := random.NewProvider(ctx, "random", &random.ProviderArgs{})
		if err != nil {
			return fmt.Errorf("random provider: %w", err)
		}
		engine, err := docker.NewProvider(ctx, "docker", &docker.ProviderArgs{
			Host:                     pulumi.String("unix:///var/run/docker.sock"),
			DisableDockerDaemonCheck: pulumi.Bool(true),
		})
		if err != nil {
			return fmt.Errorf("docker provider: %w", err)
		}

		hook, err := ctx.RegisterResourceHook("note", func(args *pulumi.ResourceHookArgs) error {
			file, err := os.OpenFile(os.Getenv("SMOKE_HOOK_FILE"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintln(file, args.Name); err != nil {
				return err
			}
			return file.Close()
		}, nil)
		if err != nil {
			return fmt.Errorf("register hook: %w", err)
		}

		root, err := random.NewRandomId(ctx, "root", &random.RandomIdArgs{
			ByteLength: pulumi.Int(4),
			Keepers:    pulumi.StringMap{"generation": pulumi.String(generation)},
		}, pulumi.Provider(generator), pulumi.ResourceHooks(&pulumi.ResourceHookBinding{
			AfterCreate: []*pulumi.ResourceHook{hook},
		}))
		if err != nil {
			return fmt.Errorf("random id: %w", err)
		}
		password, err := random.NewRandomPassword(ctx, "password", &random.RandomPasswordArgs{
			Length: pulumi.Int(24), Special: pulumi.Bool(false),
		}, pulumi.Provider(generator))
		if err != nil {
			return fmt.Errorf("random password: %w", err)
		}
		bytes, err := random.NewRandomBytes(ctx, "bytes", &random.RandomBytesArgs{Length: pulumi.Int(32)},
			pulumi.Provider(generator))
		if err != nil {
			return fmt.Errorf("random bytes: %w", err)
		}
		network, err := docker.NewNetwork(ctx, "network", &docker.NetworkArgs{
			Labels: docker.NetworkLabelArray{docker.NetworkLabelArgs{
				Label: pulumi.String("smoke"), Value: pulumi.String("yes"),
			}},
		}, pulumi.Provider(engine), pulumi.ReplaceWith([]pulumi.Resource{root}))
		if err != nil {
			return fmt.Errorf("network: %w", err)
		}
		volume, err := docker.NewVolume(ctx, "volume", &docker.VolumeArgs{},
			pulumi.Provider(engine), pulumi.DeletedWith(network))
		if err != nil {
			return fmt.Errorf("volume: %w", err)
		}
		ctx.Export("network", network.Name)
		ctx.Export("volume", volume.Name)
		ctx.Export("password", password.Result)
		ctx.Export("bytes", bytes.Base64)
		ctx.Export("fingerprint", bytes.Hex.ApplyT(func(hex string) string { return hex[:4] }))
		return nil
	})
}
