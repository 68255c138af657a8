module github.com/seed-70fe37f4/logto/release

go 1.25.0

require golang.org/x/mod v0.40.0
