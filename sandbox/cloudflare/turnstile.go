package cloudflare

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
)

// widgetFields is a request body; absent fields are nil and stay as they are.
type widgetFields struct {
	Name         *string   `json:"name"`
	Domains      *[]string `json:"domains"`
	Mode         *string   `json:"mode"`
	Region       *string   `json:"region"`
	BotFightMode *bool     `json:"bot_fight_mode"`
	Offlabel     *bool     `json:"offlabel"`
}

var widgetModes = []string{"non-interactive", "invisible", "managed"}

// maxDomains is what a widget of an account without a paid plan may name.
const maxDomains = 10

// key makes a site key or a secret, which begin alike.
func key(bytes int) string {
	raw, _ := hex.DecodeString(randomHex(bytes))
	return "0x4AAAAAAA" + base64.RawURLEncoding.EncodeToString(raw)
}

// listWidgets leaves the secrets out, as the real list does.
func (a *API) listWidgets(q *request) (reply, error) {
	shown := []widget{}
	for _, w := range a.state.Widgets {
		without := *w
		without.Secret = ""
		shown = append(shown, without)
	}
	return paged(q, shown, 25)
}

func (a *API) findWidget(q *request) (int, error) {
	i := slices.IndexFunc(a.state.Widgets, func(w *widget) bool { return w.SiteKey == q.PathValue("id") })
	if i < 0 {
		return 0, refuse(http.StatusNotFound, 10404, "Widget not found")
	}
	return i, nil
}

func (a *API) getWidget(q *request) (reply, error) {
	i, err := a.findWidget(q)
	if err != nil {
		return reply{}, err
	}
	return reply{result: a.state.Widgets[i]}, nil
}

func (a *API) createWidget(q *request) (reply, error) {
	w := &widget{SiteKey: key(11), Secret: key(20), Region: "world", CreatedOn: a.now()}
	if err := a.fillWidget(q, w); err != nil {
		return reply{}, err
	}
	a.state.Widgets = append(a.state.Widgets, w)
	return reply{result: w}, nil
}

func (a *API) updateWidget(q *request) (reply, error) {
	i, err := a.findWidget(q)
	if err != nil {
		return reply{}, err
	}
	w := *a.state.Widgets[i]
	if err := a.fillWidget(q, &w); err != nil {
		return reply{}, err
	}
	w.Region = a.state.Widgets[i].Region // fixed when the widget is created
	a.state.Widgets[i] = &w
	return reply{result: &w}, nil
}

func (a *API) fillWidget(q *request, w *widget) error {
	var body widgetFields
	if err := q.decode(&body); err != nil {
		return err
	}
	assign(&w.Name, body.Name)
	assign(&w.Domains, body.Domains)
	assign(&w.Mode, body.Mode)
	assign(&w.Region, body.Region)
	assign(&w.BotFightMode, body.BotFightMode)
	assign(&w.Offlabel, body.Offlabel)
	w.ModifiedOn = a.now()
	switch {
	case w.Name == "" || len(w.Name) > 254:
		return refuse(http.StatusBadRequest, 10400, "name: want 1 to 254 characters")
	case len(w.Domains) == 0 || len(w.Domains) > maxDomains:
		return refuse(http.StatusBadRequest, 10400, fmt.Sprintf("domains: got %d, want 1 to %d", len(w.Domains), maxDomains))
	case !slices.Contains(widgetModes, w.Mode):
		return refuse(http.StatusBadRequest, 10400, fmt.Sprintf("mode: got %q, want one of %v", w.Mode, widgetModes))
	case w.BotFightMode || w.Offlabel:
		return refuse(http.StatusForbidden, 10403, "bot_fight_mode and offlabel need an Enterprise plan")
	}
	return nil
}

func (a *API) deleteWidget(q *request) (reply, error) {
	i, err := a.findWidget(q)
	if err != nil {
		return reply{}, err
	}
	w := a.state.Widgets[i]
	a.state.Widgets = slices.Delete(a.state.Widgets, i, i+1)
	return reply{result: w}, nil
}

func (a *API) rotateSecret(q *request) (reply, error) {
	i, err := a.findWidget(q)
	if err != nil {
		return reply{}, err
	}
	w := *a.state.Widgets[i]
	w.Secret, w.ModifiedOn = key(20), a.now()
	a.state.Widgets[i] = &w
	return reply{result: &w}, nil
}
