/*
 * say.h - how the program speaks to a terminal: errors with its name in front, bold words.
 *
 * Colours and bold only on a terminal, and not where NO_COLOR is set (no-color.org).
 */
#ifndef DEJUNK_CLI_SAY_H
#define DEJUNK_CLI_SAY_H

#include <stdio.h>

/* "dejunk: ..." and a newline to standard error. */
void say_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void say_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What to print before and after bold text on `file`: an escape sequence or "". */
const char *say_bold(FILE *file);
const char *say_plain(FILE *file);

/* Flushes standard output. EX_OK, or EX_IOERR after saying why it could not be written. */
int say_finish(void);

#endif
