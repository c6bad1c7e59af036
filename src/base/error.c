#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const kind_names[ERROR_KINDS] = {
    [ERROR_NONE] = "none",
    [ERROR_SYSTEM] = "system",
    [ERROR_ADDRESS] = "address",
    [ERROR_SYNTAX] = "syntax",
    [ERROR_LIMIT] = "limit",
    [ERROR_REFUSED] = "refused",
    [ERROR_TIMEOUT] = "timeout",
    [ERROR_LOST] = "lost",
    [ERROR_NO_HOST] = "no-host",
    [ERROR_FORBIDDEN] = "forbidden",
    [ERROR_UNSUPPORTED] = "unsupported",
    [ERROR_CONFIG] = "config",
    [ERROR_CORRUPT] = "corrupt",
    [ERROR_TLS] = "tls",
};

enum error_kind error_set(struct error *error, enum error_kind kind, const char *format, ...)
{
    va_list arguments;

    if (error) {
        error->kind = kind;
        va_start(arguments, format);
        vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
    }
    return kind;
}

enum error_kind error_errno(struct error *error, enum error_kind kind, const char *format, ...)
{
    int code = errno;
    va_list arguments;
    int written;

    if (!error)
        return kind;
    error->kind = kind;
    va_start(arguments, format);
    written = vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    if (written >= 0 && (size_t)written + 3 < sizeof error->text) {
        char words[128];
        snprintf(error->text + written, sizeof error->text - (size_t)written, ": %s",
                 strerror_r(code, words, sizeof words));
    }
    errno = code;
    return kind;
}

const char *error_kind_name(enum error_kind kind)
{
    if ((unsigned)kind >= ERROR_KINDS)
        return "unknown";
    return kind_names[kind];
}
