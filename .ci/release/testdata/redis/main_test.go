// A service whose instances share their revocations. There is no Redis here: the list
// says that it has no copy of it.
package main

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/seed-70fe37f4/logto/revocation"
	"github.com/seed-70fe37f4/logto/revocation/redisstore"
)

func TestStore(t *testing.T) {
	client := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{"127.0.0.1:1"}})
	defer client.Close()
	list, err := revocation.New(revocation.Config{Store: redisstore.New(client, "test")})
	if err != nil {
		t.Fatal(err)
	}
	if list.Ready() == nil {
		t.Error("ready without a copy")
	}
}
