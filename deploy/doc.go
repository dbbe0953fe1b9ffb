// Package deploy owns what an operator installs besides the program: the one-time
// role script of a PostgreSQL server, the secrets of docker-compose.yml and the
// systemd units. It holds no code but their tests. Start reading at roles.sql.
package deploy
