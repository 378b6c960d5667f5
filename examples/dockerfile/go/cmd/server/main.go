package main

import (
	"flag"
	"os"

	"example.com/acme/server/internal/greeting"
)

var version = "unknown"

func main() {
	name := flag.String("name", "nobody", "who is greeted")
	flag.Parse()
	os.Stdout.WriteString(greeting.For(*name) + ", says version " + version + "\n")
}
