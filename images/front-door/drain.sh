#!/bin/bash
# Lets Envoy finish what is under way; the kubelet runs it before it ends the container.
# drain.sh ADMIN_PORT SETTLE_SECONDS LONGEST_SECONDS: every answer from now on closes its connection. Returns once
# SETTLE_SECONDS have passed, so that no one is sent here any more, and no request is left, or after LONGEST_SECONDS.
set -euo pipefail
port=$1 settle=$2 longest=$3

admin() {
  exec 3<>"/dev/tcp/127.0.0.1/$port"
  printf '%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n' "$1" "$2" >&3
  cat <&3
  exec 3>&-
}

busy() {
  admin GET '/stats?filter=^http.front-door.downstream_rq_active$' | grep -q 'downstream_rq_active: [1-9]'
}

admin POST /healthcheck/fail > /dev/null
while ((SECONDS < settle)) || { ((SECONDS < longest)) && busy; }; do sleep 1; done
