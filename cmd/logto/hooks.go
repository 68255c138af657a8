package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/seed-70fe37f4/logto/internal/policy"
	"github.com/seed-70fe37f4/logto/internal/quote"
)

const logPrefix = "TriggerHook."

func revokingEvents() []string {
	var names []string
	for _, e := range policy.RevokingEvents {
		names = append(names, e.Name)
	}
	return names
}

// webhook is what doctor checks of a webhook.
func (r *report) webhook(ctx context.Context, o *options) {
	m, err := newManager(&o.credentials, o.timeout)
	if err != nil {
		r.refusedConfig(err)
		return
	}
	defer m.hide(r)
	h, t := m.webhook(ctx)
	if t != nil {
		r.addTrouble(t)
		return
	}
	r.managed(m)
	r.enabled(h)
	r.events(h, revokingEvents(), fail)
	r.address(h)
	r.signingKey(m, h)
	switch {
	case h.Stats == nil:
		r.add("deliveries", note, "Logto doesn't say how many failed", "")
	case h.Stats.Requests > h.Stats.Successes:
		r.add("deliveries", warn, fmt.Sprintf("in the last 24 hours: %d, of which failed: %d", h.Stats.Requests, h.Stats.Requests-h.Stats.Successes),
			"Logto sends nothing twice: logto replay delivers them again. The console shows why they failed")
	default:
		r.add("deliveries", ok, fmt.Sprintf("in the last 24 hours: %d, none failed", h.Stats.Requests), "")
	}
}

func (r *report) addTrouble(t *trouble) { r.add(t.check, fail, t.saw, t.hint) }

func (r *report) managed(m *manager) {
	r.add("management", ok, fmt.Sprintf("the application %s may use %s", quote.String(m.appID), m.resource), "")
}

func (r *report) enabled(h *webhook) {
	saw := quote.String(h.ID) + " exists"
	if h.Name != "" {
		saw = fmt.Sprintf("%s is the webhook %s", quote.String(h.ID), quote.String(h.Name))
	}
	if !h.Enabled {
		r.add("hook", fail, saw+", but it is disabled", "Logto sends nothing and keeps no log of it: what happens meanwhile is lost, and no replay brings it back. Enable it in the console")
		return
	}
	r.add("hook", ok, saw+" and enabled", "")
}

// events reports on those that the webhook doesn't send: as essential says, if one of
// them is.
func (r *report) events(h *webhook, wanted []string, essential string) {
	status := ok
	var missing, of []string
	for _, event := range wanted {
		if slices.Contains(h.Events, event) {
			continue
		}
		missing = append(missing, event)
		if status == ok {
			status = warn
		}
		for _, e := range policy.RevokingEvents {
			if e.Name == event {
				of = append(of, e.Of)
				if e.Essential {
					status = essential
				}
			}
		}
	}
	if len(missing) == 0 {
		r.add("events", ok, "all that are needed are ticked", "")
		return
	}
	hint := "tick them in the console"
	if len(of) > 0 {
		hint += ". Without them tokens aren't refused of " + strings.Join(of, ", ")
	}
	r.add("events", status, "not ticked: "+strings.Join(missing, ", "), hint)
}

// address reports on where the webhook leads, and whether that is somewhere.
func (r *report) address(h *webhook) bool {
	u, err := url.Parse(h.Config.URL)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		r.add("url", fail, "the webhook's URL is none", "set it in the console to the address of the handler of revocation.List.Webhook")
		return false
	case u.Scheme == "http" && !policy.IsLoopback(u.Hostname()):
		r.add("url", warn, shown(h.Config.URL)+": whoever is on the way can read the events, which are personal data, and hold them back", "use https where the network isn't yours alone")
	default:
		r.add("url", ok, shown(h.Config.URL), "")
	}
	return true
}

// signingKey compares the key that the API may have with that of the webhook.
func (r *report) signingKey(m *manager, h *webhook) {
	switch {
	case h.SigningKey == "" && m.signingKey == "":
		r.add("signing-key", fail, "the webhook has none: Logto doesn't sign what it sends", "make one in the console (regenerate), and give it to revocation.List.Webhook")
	case m.signingKey == "" || h.SigningKey == "":
		r.add("signing-key", note, "not compared: the one that the API has may be given in "+signingKeyVariable+" or by -signing-key-file", "")
	case subtle.ConstantTimeCompare([]byte(m.signingKey), []byte(h.SigningKey)) == 0:
		r.add("signing-key", fail, "the one given isn't the webhook's: what Logto sends is refused with 401 where that one is used", "Logto changes it at once: give the API both while it changes, revocation.List.Webhook takes several")
	default:
		r.add("signing-key", ok, "the one given is the webhook's", "")
	}
}

// shown is an address without its user and its query, which may be secret.
func shown(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that is no URL"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// parseReceiver is for -to.
func parseReceiver(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return errors.New("-to takes the URL of a receiver, such as https://api.example.com/logto/webhook")
	}
	return nil
}
