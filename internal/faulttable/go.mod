module github.com/prekzursil/momentstudio-infra/internal/faulttable

go 1.26.0
