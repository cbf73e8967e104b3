// Package deploy checks what is in deploy, the Dockerfile and compose.yaml, as far as that
// can be without an engine for containers. It is a module of its own for the library that
// reads compose files.
package deploy
