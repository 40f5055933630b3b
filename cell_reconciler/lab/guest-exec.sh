#!/bin/busybox sh
# The guest's end of sshrun.py; root's shell for the SSH server, so $1 is -c and $2 one of
#   run TOKEN            run the request /run/lab/exec/TOKEN and exit as it does (128+N for signal N)
#   signal TOKEN NUMBER  send a signal to the command that TOKEN runs
# A request has one word a line, each behind a colon, escaped as printf %b reads it: place (host or switch),
# directory, number of environment entries, these, the command. Builtins only until the command itself: executing
# anything takes 0.1 s here.
set -uf
set -- $2
pidfile=/run/exec/$2
case $1 in
signal)
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do # it may not have come so far yet
        [ ! -s "$pidfile" ] || exec kill "-$3" "$(cat "$pidfile")"
        sleep 0.1
    done
    exit 1
    ;;
run) ;;
*) exit 255 ;;
esac

IFS='
'
set -- $(cat "/run/lab/exec/$2")
unset IFS
for word; do
    shift
    word=${word#:}
    case $word in
    *\\*)
        word=$(printf '%b_' "$word")
        word=${word%_}
        ;;
    esac
    set -- "$@" "$word"
done
# The server has a mount namespace of its own; commands run in the host's.
network=/proc/1/ns/net
[ "$1" = host ] || network=/proc/$(cat /run/switch.pid)/ns/net
directory=$2
[ -d "$directory" ] || directory=/
count=$3
shift 3
# env(1) takes words with = until the first without; nsenter's end of options makes the command safe from that.
i=0
rest=$#
while [ "$i" -lt "$rest" ]; do
    [ "$i" != "$count" ] || set -- "$@" /usr/bin/nsenter --mount=/proc/1/ns/mnt --net="$network" --wdns="$directory" --
    word=$1
    shift
    set -- "$@" "$word"
    i=$((i + 1))
done
# A subshell, so that its PID is known and a death by signal told apart; the shell's own words on that go nowhere.
exec 3>&2 2>/dev/null
(
    sh -c 'echo $PPID' >"$pidfile"
    exec env -i "$@" 2>&3 3>&-
)
exit $?
