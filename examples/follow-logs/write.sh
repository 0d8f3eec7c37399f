# A program that logs, and what rotates its log meanwhile: by rename, and by a copy that is cut.
log() { for level in INFO ERROR INFO; do echo "2026-01-01T00:00:0$1 $level request $1"; done >> app.log; }
log 1
sleep 0.5
log 2
mv app.log app.log.1
log 3
sleep 0.5
log 4
sleep 0.5
cp app.log app.log.2
: > app.log
log 5
sleep 0.5
log 6
