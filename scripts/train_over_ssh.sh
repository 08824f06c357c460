#!/bin/bash
# Train on several hosts over plain ssh, and restart all workers if one is lost.
#
# Run: HOSTS="gpu1 gpu2" scripts/train_over_ssh.sh EXPERIMENT RUN [OPTIONS OF imgcls train]
#
# A host may have a port, host:port; the default is 20000. The experiment must set train.strategy: {name: multi_worker}. The experiment
# file, the data and the run folder must be below the current folder, on a disk that all hosts share, and imgcls must be on the PATH of
# each. Ctrl-C or SIGTERM saves and stops.
set -u
experiment=$1 run=$2
shift 2
workers=""
for host in $HOSTS; do
    case $host in *:*) workers+=",$host" ;; *) workers+=",$host:20000" ;; esac
done
workers=${workers#,}

stopped=""
stop_all() {
    stopped=yes
    local rank=0
    for host in $HOSTS; do # one signal per worker: a second one would stop it before the state is saved
        ssh "${host%:*}" "pkill -TERM -f -- '--workers $workers --rank $rank( |\$)'"
        rank=$((rank + 1))
    done
}
trap stop_all INT TERM

for attempt in $(seq 50); do
    rank=0 pids=()
    for host in $HOSTS; do
        command=$(printf "%q " imgcls train "$experiment" --run "$run" --workers "$workers" --rank "$rank" "$@")
        ssh "${host%:*}" "cd $(printf "%q" "$PWD") && exec $command" </dev/null &
        pids+=($!) rank=$((rank + 1))
    done
    status=0 failed=0
    for pid in "${pids[@]}"; do
        wait "$pid"
        result=$?
        # Above 128, a signal to this script may have interrupted `wait`; once the worker has ended, `wait` returns its exit code.
        while [ $result -gt 128 ] && kill -0 "$pid" 2>/dev/null; do
            wait "$pid"
            result=$?
        done
        [ $result -gt 128 ] && { wait "$pid"; result=$?; }
        [ $result -gt $status ] && status=$result
        # If a worker fails, the others end with 75.
        [ $result -ge 1 ] && [ $result -lt 75 ] && failed=$result
    done
    [ $failed -gt 0 ] && exit $failed
    # 75: the state is saved. Above 128: a worker was killed, or its host did not respond; training continues from the last checkpoint.
    { [ $status -eq 75 ] || [ $status -gt 128 ]; } && [ -z "$stopped" ] || exit $status
    echo "train_over_ssh: attempt $attempt ended with exit code $status; restarting all workers" >&2
    sleep 2
done
exit $status
