#!/bin/bash
# Train on several hosts over plain ssh, and start all workers again when some were lost.
#
# Run: HOSTS="gpu1 gpu2" scripts/train_over_ssh.sh EXPERIMENT RUN [OPTIONS OF imgcls train]
#
# A host may carry a port, host:port, else it is 20000. The experiment sets train.strategy: {name: multi_worker}. It, the data and the run
# folder lie in the present folder, on a disk that all hosts share, and imgcls is on the PATH of each. Ctrl-C or SIGTERM saves and stops.
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
    for host in $HOSTS; do # each worker once: a second signal would not wait for the state to be saved
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
        # Above 128, a signal to this script may have ended the waiting instead of the worker; once that has ended, its exit code stays.
        while [ $result -gt 128 ] && kill -0 "$pid" 2>/dev/null; do
            wait "$pid"
            result=$?
        done
        [ $result -gt 128 ] && { wait "$pid"; result=$?; }
        [ $result -gt $status ] && status=$result
        # When a worker ends with an error of its own, the others end with 75.
        [ $result -ge 1 ] && [ $result -lt 75 ] && failed=$result
    done
    [ $failed -gt 0 ] && exit $failed
    # 75: the state is saved. Above 128: a worker was killed, or its host did not answer, and the last saved state is whole.
    { [ $status -eq 75 ] || [ $status -gt 128 ]; } && [ -z "$stopped" ] || exit $status
    echo "train_over_ssh: attempt $attempt ended with exit code $status; starting all workers again" >&2
    sleep 2
done
exit $status
