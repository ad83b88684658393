package hetzner

import (
	"fmt"
	"net/http"
)

// apiError is an answer of the API other than success.
type apiError struct {
	status  int
	code    string
	message string
	details any
}

func (e *apiError) Error() string { return fmt.Sprintf("%s (%s)", e.message, e.code) }

func (e *apiError) body() map[string]any {
	return map[string]any{"error": map[string]any{"code": e.code, "message": e.message, "details": e.details}}
}

type fieldDetail struct {
	Name     string   `json:"name"`
	Messages []string `json:"messages,omitempty"`
}

func invalid(field, format string, args ...any) error {
	message := fmt.Sprintf(format, args...)
	return &apiError{
		http.StatusUnprocessableEntity, "invalid_input", fmt.Sprintf("invalid input in field '%s': %s", field, message),
		map[string]any{"fields": []fieldDetail{{field, []string{message}}}},
	}
}

func notUnique(field, message string) error {
	return &apiError{
		http.StatusConflict, "uniqueness_error", message,
		map[string]any{"fields": []fieldDetail{{Name: field}}},
	}
}

func notFound(kind string, id any) error {
	return &apiError{http.StatusNotFound, "not_found", fmt.Sprintf("%s with ID '%v' not found", kind, id), nil}
}

func protected(kind string) error {
	return &apiError{http.StatusLocked, "protected", kind + " deletion is protected", nil}
}

func locked(kind string) error {
	return &apiError{http.StatusLocked, "locked", kind + " is locked: an action is running on it", nil}
}

func conflict(code, format string, args ...any) error {
	return &apiError{http.StatusConflict, code, fmt.Sprintf(format, args...), nil}
}

func unprocessable(code, format string, args ...any) error {
	return &apiError{http.StatusUnprocessableEntity, code, fmt.Sprintf(format, args...), nil}
}

// unsupported marks a request that the emulation leaves out. It is recorded
// like an unknown one.
func unsupported(what string) error {
	return &apiError{http.StatusNotImplemented, "unsupported_error", "the sandbox does not emulate " + what, nil}
}
