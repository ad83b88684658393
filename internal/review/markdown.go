package review

import (
	"fmt"
	"strings"
)

// MaxComment is GitHub's limit of a comment, in characters; a report stays well below.
const MaxComment = 65_536

// Marker is the first line of a comment, by which the next run finds the one to replace.
func Marker(stack string) string { return "<!-- momentstudio review: " + stack + " -->" }

// Verdict is the line that has to be enough.
func (r Report) Verdict() string {
	changes := 0
	for _, c := range r.Changes {
		if !strings.HasPrefix(c.Type, "momentstudio:") && c.Type != "pulumi:pulumi:Stack" {
			changes++
		}
	}
	text := fmt.Sprintf("%s: ", r.Stack)
	switch {
	case changes == 0 && len(r.Violations) == 0:
		return text + "nothing changes"
	case len(r.Violations) > 0:
		text += fmt.Sprintf("REFUSED, %s against the policies; ", count(len(r.Violations), "thing"))
	case len(r.Refused) > 0:
		text += fmt.Sprintf("REFUSED until %s approved; ", map[bool]string{
			true:  "1 change is",
			false: fmt.Sprintf("%d changes are", len(r.Refused)),
		}[len(r.Refused) == 1])
	case len(r.Approved) > 0:
		text += "approved by file; "
	}
	text += fmt.Sprintf("%s, worst risk: %s", count(changes, "change"), r.Risk)
	if r.Seconds > 0 {
		text += fmt.Sprintf(" (about %d s of the shop or a part of it)", r.Seconds)
	}
	return text
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

var signs = map[Risk]string{
	None: "⚪", Restart: "🟢", Interruption: "🟡", Security: "🟣", DataAtRisk: "🟠", Irreversible: "🔴",
}

// Markdown is the comment on a pull request. What does not fit is cut from its end; the verdict never is.
func (r Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n### %s %s\n", Marker(r.Stack), r.sign(), escape(r.Verdict()))
	if r.Placeholders {
		b.WriteString("\nPreviewed with placeholders instead of secrets and credentials: what depends on a secret may show " +
			"as changed.\n")
	}
	var blocks []string
	if len(r.Violations) > 0 {
		blocks = append(blocks, table("\n**Against the policies** (no approval lifts them)\n\n| resource | what | fix "+
			"|\n|---|---|---|\n", r.Violations, func(v Violation) string {
			return fmt.Sprintf("| `%s` | %s | %s |\n", cell(v.Name), cell(v.What), cell(v.Fix))
		})...)
	}
	if len(r.Refused) > 0 {
		b.WriteString("\n<details><summary><b>To approve</b>, add a file to <code>approvals/</code></summary>\n\n```yaml\n")
		for i, refused := range r.Refused {
			if i == 5 {
				fmt.Fprintf(&b, "# … and %d more\n", len(r.Refused)-i)
				break
			}
			fmt.Fprintf(&b, "- urn: %s\n  op: %s\n  reason: …\n  expires: …%s\n", refused.URN, refused.Op,
				map[bool]string{true: "  # the day of " + refused.Expired + " is over"}[refused.Expired != ""])
		}
		b.WriteString("```\n\n</details>\n")
	}
	for _, g := range r.Approved {
		blocks = append(blocks, fmt.Sprintf("\nApproved: `%s`, because: %s\n", cell(g.Name), cell(g.Reason)))
	}
	for _, file := range r.Unused {
		blocks = append(blocks, fmt.Sprintf("\nThe approval `%s` is needed by nothing here: remove it.\n", cell(file)))
	}
	for risk := Irreversible; risk >= Restart; risk-- {
		blocks = append(blocks, table(fmt.Sprintf("\n%s **%s**\n\n| resource | what happens | way back | because of "+
			"|\n|---|---|---|---|\n", signs[risk], risk), r.of(risk), func(c Change) string {
			why := c.Why
			if c.Seconds > 0 {
				why = fmt.Sprintf("≈ %d s: %s", c.Seconds, why)
			}
			return fmt.Sprintf("| `%s` %s | %s | %s | %s |\n", cell(c.Name), c.Op, cell(why), cell(c.Back),
				paths(c.Properties, 6))
		})...)
	}
	if harmless := r.of(None); len(harmless) > 0 {
		blocks = append(blocks, table(fmt.Sprintf("\n<details><summary>%s %s that nobody notices</summary>\n\n| resource | "+
			"step | because of | |\n|---|---|---|---|\n", signs[None], count(len(harmless),
			"change")), harmless, func(c Change) string {
			return fmt.Sprintf("| `%s` | %s | %s | %s |\n", cell(c.Name), c.Op, paths(c.Properties, 3), cell(c.Why))
		})...)
		blocks = append(blocks, "\n</details>\n")
	}
	end := fmt.Sprintf("\n<sub>plan `%s`, program `%.12s`</sub>\n", r.Fingerprint, r.Commit)
	const room = MaxComment * 9 / 10 // in bytes, which are more than characters
	for i, block := range blocks {
		if b.Len()+len(block)+len(end)+200 > room {
			if strings.Count(b.String(), "<details>") > strings.Count(b.String(), "</details>") {
				b.WriteString("\n</details>\n")
			}
			fmt.Fprintf(&b, "\n\n… cut here: %s of %d do not fit; `studio review --json` has all of it.\n",
				count(len(blocks)-i, "line"), len(blocks))
			break
		}
		b.WriteString(block)
	}
	return b.String() + end
}

func (r Report) sign() string {
	if r.Code() != CodePass {
		return "⛔"
	}
	return signs[r.Risk]
}

func (r Report) of(risk Risk) (out []Change) {
	for _, c := range r.Changes {
		if c.Risk == risk {
			out = append(out, c)
		}
	}
	return out
}

// table is its head and its rows, each a block of its own; the head goes with the first row.
func table[T any](head string, rows []T, row func(T) string) []string {
	out := make([]string, 0, len(rows))
	for i, r := range rows {
		text := row(r)
		if i == 0 {
			text = head + text
		}
		out = append(out, text)
	}
	return out
}

func paths(properties []string, most int) string {
	shown := make([]string, 0, most)
	for i, p := range properties {
		if i == most {
			shown = append(shown, fmt.Sprintf("… %d more", len(properties)-i))
			break
		}
		for _, prefix := range []string{"taskSpec.", "containerSpec."} { // of every service, and too long for a column
			p = strings.TrimPrefix(p, prefix)
		}
		shown = append(shown, "`"+cell(p)+"`")
	}
	return strings.Join(shown, ", ")
}

// cell keeps a text in its cell.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "`", "'").Replace(escape(text))
}

func escape(text string) string { return strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace(text) }

// Text is the report for a terminal.
func (r Report) Text() string {
	var b strings.Builder
	fmt.Fprintln(&b, r.Verdict())
	for _, v := range r.Violations {
		fmt.Fprintf(&b, "  against the policies: %s: %s; fix: %s\n", v.Name, v.What, v.Fix)
	}
	for risk := Irreversible; risk >= None; risk-- {
		for i, c := range r.of(risk) {
			if i == 0 {
				fmt.Fprintf(&b, "\n%s\n", risk)
			}
			fmt.Fprintf(&b, "  %-8s %-28s %s\n", c.Op, c.Name, c.Why)
			if risk > None && len(c.Properties) > 0 {
				fmt.Fprintf(&b, "  %-8s %-28s because of %s\n", "", "", strings.Join(c.Properties, ", "))
			}
			if risk > None && c.Back != "" {
				fmt.Fprintf(&b, "  %-8s %-28s back: %s\n", "", "", c.Back)
			}
		}
	}
	for _, refused := range r.Refused {
		note := ""
		if refused.Expired != "" {
			note = ", and the day of " + refused.Expired + " is over"
		}
		fmt.Fprintf(&b, "\nnot approved: %s%s", refused.URN, note)
	}
	if len(r.Refused) > 0 {
		b.WriteString("\n\nadd a file to approvals/ with urn, reason and expires, or take the change back\n")
	}
	return b.String()
}
