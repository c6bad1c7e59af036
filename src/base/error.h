/*
 * error.h - how a function says what went wrong: a kind for the program, a text for the human.
 *
 * A function that can fail returns enum error_kind (ERROR_NONE: all is well) and takes a
 * struct error * last. Whoever knows the cause writes the text, once; nobody parses it. The
 * pointer may be NULL where the caller does not care for the text.
 */
#ifndef DEJUNK_BASE_ERROR_H
#define DEJUNK_BASE_ERROR_H

enum error_kind {
    ERROR_NONE = 0,
    ERROR_SYSTEM,      // a system call failed in a way that is nobody's fault
    ERROR_ADDRESS,     // an address cannot be bound, parsed or reached
    ERROR_SYNTAX,      // bytes that do not follow their grammar
    ERROR_LIMIT,       // a length, count, depth or ratio beyond its limit
    ERROR_REFUSED,     // the far side refused the connection
    ERROR_TIMEOUT,     // a time limit ran out
    ERROR_LOST,        // the far side went away in the middle
    ERROR_NO_HOST,     // the name has no address
    ERROR_FORBIDDEN,   // our own policy says no
    ERROR_UNSUPPORTED, // well-formed, but nothing we can do
    ERROR_CONFIG,      // the configuration says something impossible
    ERROR_CORRUPT,     // a file or coded body that is damaged
    ERROR_TLS,         // the handshake or a certificate is not good
    ERROR_KINDS
};

struct error {
    enum error_kind kind;
    char text[500]; // one line, no full stop, never from a peer without escaping
};

/* Writes kind and text, returns kind: `return error_set(error, ERROR_LIMIT, "...")`. */
enum error_kind error_set(struct error *error, enum error_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As error_set(), with ": " and the words for errno behind the text. Leaves errno alone. */
enum error_kind error_errno(struct error *error, enum error_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A short stable word for logs and metrics: "refused", "timeout"... Never NULL. */
const char *error_kind_name(enum error_kind kind);

#endif
