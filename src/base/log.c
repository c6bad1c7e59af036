#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct {
    const char *name;
    enum log_level level;
    bool to_journal;
    int follower; // a socket; -1: nobody follows
} self = { "dejunk", LOG_LEVEL_INFO, false, -1 };

static const char *const level_names[] = { "error", "warning", "notice", "info", "debug" };
static const int journal_priority[] = { 3, 4, 5, 6, 7 };

void log_start(const char *name, enum log_level level)
{
    self.name = name;
    self.level = level;
    self.to_journal = getenv("JOURNAL_STREAM") != NULL;
    self.follower = -1;
}

void log_follow(int fd)
{
    self.follower = fd;
}

void log_set_level(enum log_level level)
{
    self.level = level;
}

bool log_is_on(enum log_level level)
{
    return level <= self.level;
}

void log_write(enum log_level level, const char *format, ...)
{
    char line[2048];
    int code = errno, size, more;
    va_list arguments;
    ssize_t written;

    if (!log_is_on(level))
        return;
    if (self.to_journal) {
        size = snprintf(line, sizeof line, "<%d>%s: ", journal_priority[level], self.name);
    } else {
        struct timespec now;
        struct tm utc;
        char stamp[32];

        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &utc);
        strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
        size = snprintf(line, sizeof line, "%s.%03ldZ %s %s: ", stamp, now.tv_nsec / 1000000,
                        level_names[level], self.name);
    }
    va_start(arguments, format);
    more = vsnprintf(line + size, sizeof line - (size_t)size - 1, format, arguments);
    va_end(arguments);
    if (more < 0)
        more = 0;
    size += more;
    if ((size_t)size > sizeof line - 2)
        size = (int)sizeof line - 2;
    line[size++] = '\n';
    written = write(STDERR_FILENO, line, (size_t)size);
    if (self.follower >= 0)
        written = send(self.follower, line, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)written; // nowhere left to complain
    errno = code;
}

const char *log_text(char *to, size_t size, struct span from)
{
    static const char digits[] = "0123456789abcdef";
    size_t out = 0;

    if (size == 0)
        return to;
    for (size_t i = 0; i < from.size; i++) {
        unsigned char c = (unsigned char)from.at[i];
        bool escape = c < 0x20 || c > 0x7e || c == '"' || c == '\\';
        size_t need = escape ? 4 : 1;

        if (out + need + (i + 1 < from.size ? 4 : 1) > size) {
            for (int dots = 0; dots < 3 && out + 1 < size; dots++)
                to[out++] = '.';
            break;
        }
        if (escape) {
            to[out++] = '\\';
            to[out++] = 'x';
            to[out++] = digits[c >> 4];
            to[out++] = digits[c & 15];
        } else {
            to[out++] = (char)c;
        }
    }
    to[out] = '\0';
    return to;
}
