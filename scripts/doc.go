// Package scripts owns the shell scripts that prepare a machine and check a
// change. It holds no code but their tests and imports nothing of the project.
// Start reading at setup.sh.
package scripts
