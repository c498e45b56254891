module github.com/seed10546c08/inotify/internal/mutate

go 1.25.0
