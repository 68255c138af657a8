//go:build race

package logto_test

func init() { raceEnabled = true }
