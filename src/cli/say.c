#include "cli/say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static bool has_colour(FILE *file)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

    return (!no || !*no) && term && strcmp(term, "dumb") != 0 && isatty(fileno(file));
}

static const char *escape(FILE *file, const char *sequence)
{
    return has_colour(file) ? sequence : "";
}

const char *say_bold(FILE *file)
{
    return escape(file, "\033[1m");
}

const char *say_plain(FILE *file)
{
    return escape(file, "\033[0m");
}

__attribute__((format(printf, 3, 0))) static void say(const char *colour, const char *kind,
                                                      const char *format, va_list arguments)
{
    fflush(stdout); // in the order in which things were said
    fprintf(stderr, "%sdejunk:%s%s ", escape(stderr, colour), say_plain(stderr), kind);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

void say_error(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say("\033[1;31m", "", format, arguments);
    va_end(arguments);
}

void say_warning(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say("\033[1;33m", " warning:", format, arguments);
    va_end(arguments);
}

int say_finish(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EX_OK;
    say_error("cannot write to standard output: %s", strerror(errno));
    return EX_IOERR;
}
