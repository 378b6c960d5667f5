// Package greeting knows how people are greeted.
package greeting

// For greets a name.
func For(name string) string {
	return "hello, " + name
}
