module github.com/seed10546c08/inotify

go 1.23.0

require golang.org/x/sys v0.18.0
