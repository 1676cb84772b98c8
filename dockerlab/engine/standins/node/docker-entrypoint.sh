#!/bin/sh
# As in the official image: what is no command is for node, an option or a script's name.
set -e
case $1 in
    -*) set -- node "$@" ;;
    *) if ! command -v "$1" >/dev/null || { [ -f "$1" ] && [ ! -x "$1" ]; }; then set -- node "$@"; fi ;;
esac
exec "$@"
