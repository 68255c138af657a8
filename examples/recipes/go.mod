module github.com/seed-70fe37f4/logto/examples/recipes

go 1.25.0

require (
	github.com/aws/aws-lambda-go v1.54.0
	github.com/coder/websocket v1.8.15
	github.com/rs/cors v1.11.1
	github.com/seed-70fe37f4/logto v0.1.0
	golang.org/x/oauth2 v0.36.0
)

require (
	filippo.io/nistec v0.0.4 // indirect
	github.com/decred/dcrd/dcrec/secp256k1/v4 v4.4.1 // indirect
	github.com/goccy/go-json v0.10.6 // indirect
	github.com/hashicorp/golang-lru/v2 v2.0.7 // indirect
	github.com/lestrrat-go/blackmagic v1.0.4 // indirect
	github.com/lestrrat-go/httpcc v1.0.1 // indirect
	github.com/lestrrat-go/httprc v1.0.6 // indirect
	github.com/lestrrat-go/iter v1.0.2 // indirect
	github.com/lestrrat-go/jwx/v2 v2.1.7 // indirect
	github.com/lestrrat-go/option v1.0.1 // indirect
	github.com/segmentio/asm v1.2.1 // indirect
	golang.org/x/crypto v0.53.0 // indirect
	golang.org/x/sys v0.46.0 // indirect
)

replace github.com/seed-70fe37f4/logto => ../..
