// A program with a personal access token: it exchanges that for access tokens.

package recipes

import (
	"context"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// personal makes a client that sends requests to an API in the name of the user whom the
// personal access token belongs to. The application needs token exchange switched on.
func personal(ctx context.Context, endpoint, clientID, secret, pat, resource string, scopes ...string) *http.Client {
	exchange := clientcredentials.Config{
		ClientID:     clientID,
		ClientSecret: secret,
		TokenURL:     endpoint + "/oidc/token",
		AuthStyle:    oauth2.AuthStyleInHeader,
		Scopes:       scopes,
		EndpointParams: url.Values{
			"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
			"subject_token_type": {"urn:logto:token-type:personal_access_token"},
			"subject_token":      {pat},
			"resource":           {resource},
		},
	}
	return exchange.Client(ctx) // a new access token when the old one expires
}
