package e2e

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// group is a part of the whole test. It needs a stack that is up and nothing of other groups: its steps bring what
// they need, and its last ones close what they opened.
type group struct {
	name  string
	steps []step
}

// step is one claim, and what checks it. The steps of a group build on the earlier ones of the same group.
type step struct {
	name string
	run  func(*testing.T, *env)
	full bool // only with E2E_FULL
}

var groups = []group{
	{"site", []step{
		{name: "the site obeys the contract", run: contract},
		{name: "a visitor's writes arrive", run: writes},
		{name: "the application sees the visitor's address", run: addresses},
		{name: "the edge limits each visitor, whatever headers say", run: limits},
		{name: "all schedulers of the application run", run: allSchedulers},
		{name: "large bodies are taken only where staff uploads files", run: largeBodies},
		{name: "a browser opens the pages without a complaint", run: browse},
		{name: "containers cannot reach the metadata service", run: metadata},
		{name: "the TLS mode is changed and changed back", run: tlsModes},
		{name: "a second up changes nothing", run: secondUp},
		{name: "previews are clean, also after a refresh", run: previews},
		{name: "another clone previews no change", run: otherClone, full: true},
		{name: "a preview opens no connection to the host", run: previewDialsNobody},
		{name: "the state holds no secret in clear text", run: stateHoldsNoSecret},
		{name: "no config value replaces a resource that holds data", run: textsReplaceNothing},
		{name: "no secret is anywhere in clear text", run: canaries},
	}},
	{"releases", []step{
		{name: "a rotation loses no request, and the old values stop working", run: rotations},
		{name: "a release and its rollback lose no request", run: releases},
		{name: "each kind of change alone loses no request", run: changes, full: true},
		{name: "a failed release names its cause and loses no request", run: failures},
		{name: "images of old releases are pruned, and nothing else", run: pruning},
		{name: "a migration runs once, after a dump, and forward only", run: migrations},
		{name: "a reboot during a release leaves one release", run: reboot, full: true},
		{name: "the rate limits are on again", run: closeToCrowd},
	}},
	{"review", []step{
		{name: "the workflows preview, comment, approve, apply and verify a pull request", run: pullRequest},
	}},
	{"data", []step{
		{name: "backups are read back from each destination and can be restored", run: backups},
		{name: "a backup in maintenance is shown when the maintenance ends", run: inMaintenance, full: true},
		{name: "a destination that fails or is damaged fails its own backup only", run: backupFaults, full: true},
		{name: "overdue backups are reported", run: notices},
		{name: "damaged backups are reported", run: damagedBackups, full: true},
		{name: "impossible restores are refused", run: restoreRefusals, full: true},
		{name: "lost data are restored, and a restore can be undone", run: restores},
		{name: "a killed restore is continued", run: restoreKilled, full: true},
		{name: "archives of the old scripts are restored", run: restoreArchives, full: true},
		{name: "a restart of Docker and a reboot lose no request that was taken", run: hostStops},
		{name: "a drill proves the newest backup and leaves nothing", run: drills},
		{name: "a full-size shop is backed up, verified and drilled", run: scale, full: true},
		{name: "an unreachable or full destination fails its own backup only", run: badDestinations, full: true},
		{name: "a disk that fills up during a backup loses nothing", run: fullDisk, full: true},
		{name: "a lost server and volume are rebuilt from an off-host backup", run: lostAll, full: true},
		{name: "the rate limits are on again", run: closeToCrowd},
	}},
	{"recovery", []step{
		{name: "two updates take turns, and undo changes made on the host", run: turns},
		{name: "drift is found and named, and its commands revert it", run: drifts},
		{name: "the state in the bucket survives its faults", run: stateFaults},
		{name: "every service ends by itself when an update restarts it", run: cleanStops},
		{name: "a database crash stops no other part of the shop", run: databaseCrash},
		{name: "interrupted updates end as undisturbed ones", run: interruptions},
		{name: "a power cut in a backup or a restore loses nothing", run: powerCuts, full: true},
		{name: "an interrupted rebuild loses nothing", run: killedRebuild, full: true},
		{name: "the stack is destroyed before the cloud faults", run: destroy, full: true},
		{name: "cloud faults and interrupted runs leave no duplicate", run: cloudFaults, full: true},
		{name: "the stack is destroyed after the cloud faults", run: destroy, full: true},
		{name: "interrupted first updates make a complete stack", run: killedFirstUps, full: true},
		{name: "the stack that interrupted updates made is destroyed", run: destroy, full: true},
	}},
	{"lifecycle", []step{
		{name: "a raised generation replaces the server and nothing that holds data", run: rebuild},
		{name: "a protected stack refuses to be destroyed", run: protection},
		{name: "a destroy from another clone leaves nothing", run: destroy},
	}},
}

// recording is what MOMENTSTUDIO_RECORD runs instead of the groups.
var recording = group{"plans", []step{{name: "the plans of many changes are recorded", run: plans}}}

// onSecondStack are the groups that run on the second of two stacks. Both halves take about as long.
var onSecondStack = []string{"data", "recovery"}

// TestStack runs the chosen groups, on one stack or on two side by side. A failing step ends its group; the next group
// starts on a stack that is brought back, or made again.
func TestStack(t *testing.T) {
	if record != "" {
		w := newEnv(t, chosen.sandbox)
		w.buildEdited()
		t.Run(recording.name, func(t *testing.T) { w.runGroup(t, recording) })
		return
	}
	halves := make([][]group, 2)
	for _, name := range chosen.groups {
		at := slices.IndexFunc(groups, func(g group) bool { return g.name == name })
		if at < 0 {
			t.Fatalf("group %q has no steps", name)
		}
		half := 0
		if chosen.stacks == 2 && slices.Contains(onSecondStack, name) {
			half = 1
		}
		halves[half] = append(halves[half], groups[at])
	}
	for n, half := range halves {
		if len(half) == 0 {
			continue
		}
		t.Run("stack "+strconv.Itoa(n+1), func(t *testing.T) {
			t.Parallel()
			w := newEnv(t, chosen.sandbox+5*n)
			for _, g := range half {
				t.Run(g.name, func(t *testing.T) { w.runGroup(t, g) })
			}
		})
	}
}

func (w *env) runGroup(t *testing.T, g group) {
	before := w.t
	w.group = t
	defer func() {
		w.t, w.group = before, before
		w.broken = t.Failed()
	}()
	steps := append([]step{{name: "the stack is up and serves", run: ready}}, g.steps...)
	for n, s := range steps {
		if s.full && !full {
			continue
		}
		ok := t.Run(s.name, func(t *testing.T) {
			w.t = t
			s.run(t, w)
		})
		w.t = t
		if !ok {
			t.Logf("%d later steps of group %s did not run", len(steps)-n-1, g.name)
			return
		}
	}
}

// ready brings the stack to where a group can start: it is up and its file holds nothing that an update has not
// applied.
func ready(t *testing.T, w *env) {
	switch file := w.readFile(); {
	case w.broken:
		w.bringBack()
	case !w.isUp:
		w.make()
	case !bytes.Equal(file, w.applied):
		w.mustUpdate()
	}
	if r := newSite(t, w).get("https://momentstudio.test/api/v1/health/ready"); r.status != 200 {
		t.Errorf("the API answers %d: %s", r.status, r.body)
	}
}

// make brings the stack up in an empty sandbox, or in one that an earlier run kept.
func (w *env) make() {
	w.t.Helper()
	if w.destroyed { // off-host repositories have the passwords of the state that is gone
		w.remove()
		w.destroyed = false
	}
	_, out := w.up()
	if !strings.Contains(out, "verified: https://momentstudio.test serves release") {
		w.t.Errorf("the run does not say that it checked the site:\n%s", tail(out, 30))
	}
	w.first = w.readFile()
}

// bringBack repairs the stack after a group that failed: the stack's file becomes what it was when the sandbox came
// up. When that cannot be applied, the sandbox is made again.
func (w *env) bringBack() {
	w.t.Helper()
	w.broken = false
	if w.isUp && w.first != nil {
		w.writeFile(w.first)
		var out bytes.Buffer
		w.clearFaults()
		r, err := w.s.Up(w.ctx, &out)
		if err == nil {
			w.tools, w.applied = r.Tools, w.readFile()
			return
		}
		w.t.Logf("the sandbox is made again, because its stack does not come back: %v\n%s", err, tail(out.String(), 20))
	}
	w.remove()
	w.make()
}

func TestEveryGroupHasSteps(t *testing.T) {
	var names []string
	for _, g := range groups {
		names = append(names, g.name)
		seen := map[string]bool{}
		for _, s := range g.steps {
			if s.run == nil || s.name == "" || seen[s.name] {
				t.Errorf("group %s: step %q is empty or there twice", g.name, s.name)
			}
			seen[s.name] = true
		}
		if len(g.steps) == 0 || slices.IndexFunc(g.steps, func(s step) bool { return !s.full }) < 0 {
			t.Errorf("group %s runs nothing without E2E_FULL", g.name)
		}
	}
	if !slices.Equal(names, groupOrder) {
		t.Errorf("the groups are %q, the options know %q", names, groupOrder)
	}
}
