# Does what `guard::run` does, for hosts that have no such program: see guard/mod.rs, also for the differences. $1 is the time that the
# processes have to finish, $2 the time that they have after SIGTERM, both in tenths of a second.
trap '' INT TERM HUP PIPE
cd /
groups= id= dir= cgroup=
while read -r what value; do
    case $what in
        group) groups="$groups $value" ;;
        ended)
            left=
            for one in $groups; do [ "$one" = "$value" ] || left="$left $one"; done
            groups=$left
            ;;
        host) id=$value ;;
        sockets) dir=$value ;;
        cgroup) cgroup=$value ;;
    esac
done

# Prints the ids of the processes with the host's id in their environment.
marked() {
    [ -n "$id" ] || return
    grep -lFs "IXT_HOST_ID=$id" /proc/[0-9]*/environ | while read -r file; do
        file=${file#/proc/}
        echo "${file%/environ}"
    done
}
alive() {
    left=
    for one in $groups; do kill -s 0 -- "-$one" 2>/dev/null && left="$left $one"; done
    groups=$left
    [ -n "$groups" ] || [ -n "$(marked)" ] || grep -qsx "populated 1" "$cgroup/cgroup.events"
}
await() {
    tenths=$1
    while alive && [ "$tenths" -gt 0 ]; do sleep 0.1; tenths=$((tenths - 1)); done
}
signal() {
    for one in $groups; do kill -s "$1" -- "-$one" 2>/dev/null; done
    for one in $(marked); do kill -s "$1" -- "$one" 2>/dev/null; done
}
await "$1"
signal TERM
await "$2"
rounds=20
while [ "$rounds" -gt 0 ]; do
    [ -z "$cgroup" ] || echo 1 >"$cgroup/cgroup.kill"
    signal KILL
    alive || break
    rounds=$((rounds - 1))
done 2>/dev/null
# A cgroup can be removed when its last process is gone.
rounds=20
while [ -d "$cgroup" ] && [ "$rounds" -gt 0 ]; do
    rmdir "$cgroup"/*/ "$cgroup" || sleep 0.1
    rounds=$((rounds - 1))
done 2>/dev/null
if [ -n "$dir" ]; then
    # Only what the host has made there.
    for socket in "$dir"/*; do [ -S "$socket" ] && rm -f "$socket"; done
    rm -f "$dir/lock"
    rmdir "$dir"
fi 2>/dev/null
