/*
 * log.h - lines for the operator: level, message, key=value pairs, to standard error.
 *
 * A line is made whole and written with one write(2), so that lines of several processes do not
 * mix. Under systemd (JOURNAL_STREAM set) lines begin with "<priority>", else with the time in
 * UTC. Whatever came from a peer goes through log_text(), which escapes control bytes. The level,
 * the process's name and who follows are all that is kept here, for the whole process.
 */
#ifndef DEJUNK_BASE_LOG_H
#define DEJUNK_BASE_LOG_H

#include "base/bytes.h"

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_NOTICE,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG
};

/* `name` ("master", "worker 2") is borrowed for the life of the process. */
void log_start(const char *name, enum log_level level);
void log_set_level(enum log_level level);
/* Each line also as one packet on this socket, lost where that takes no more; -1: no longer, as it
 * is after log_start(). The descriptor stays the caller's, and open until then. */
void log_follow(int fd);
bool log_is_on(enum log_level level);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_is_on(LOG_LEVEL_DEBUG))                                                            \
            log_write(LOG_LEVEL_DEBUG, __VA_ARGS__);                                               \
    } while (0)

/* Copies what a peer sent into `to` (size bytes, always ended with NUL): controls, DEL, quote,
 * backslash and bytes above 0x7e become \xHH; cut with "..." when it does not fit. Returns `to`. */
const char *log_text(char *to, size_t size, struct span from);

#endif
