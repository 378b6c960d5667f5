package main

import (
	"os"
	"runtime"
)

func main() {
	os.Stdout.WriteString("runs on " + runtime.GOOS + "/" + runtime.GOARCH + "\n")
}
