/*
 * talk.h - how commands speak with the running service: one line to its control socket, an answer.
 *
 * Finds the socket by the same configuration as the service; a configuration that has become bad
 * in the meantime still tells, since that is when one wants to ask. Mistakes are told to standard
 * error here.
 */
#ifndef DEJUNK_CLI_TALK_H
#define DEJUNK_CLI_TALK_H

#include "base/bytes.h"
#include "cli/settings.h"

/* For a command's table of options, beside SETTINGS_ROWS. */
#define TALK_ROWS                                                                                  \
    SETTINGS_ROWS,                                                                                 \
    {                                                                                              \
        's', "socket", "PATH", "the control socket, wherever it is"                                \
    }

struct talk {
    struct settings settings;
    const char *socket; // from --socket; NULL: by the config
};

/* Takes the option `letter`: true when it was one of ours. */
bool talk_take(struct talk *talk, int letter, const char *value);

/* Says `line` (without a line feed) and shows the answer's text on standard output, as it comes.
 * EX_OK; EX_UNAVAILABLE when nobody answers; `refused` when the service says no, after saying
 * why. */
int talk_show(struct talk *talk, const char *line, int refused);

/* Appends a word and a blank before it to `line` of `size` bytes; false when it does not fit or
 * is no plain word, which is told. */
bool talk_add_word(char *line, size_t size, const char *word);
/* The same for a duration such as "10m", in ms. */
bool talk_add_time(char *line, size_t size, const char *text);

#endif
