/*
 * config_text.h - what must hold of a config's text before libconfuse reads it.
 *
 * libconfuse's scanner drops characters that it does not know (an unquoted `*`), counts lines
 * wrongly after comments, knows no comments inside lists, takes the end of the text for the end
 * of a section, and reads the environment. So its texts come through here first: comments become
 * blanks, and what it would misread is an error. Knows nothing of options.
 */
#ifndef DEJUNK_STATE_CONFIG_TEXT_H
#define DEJUNK_STATE_CONFIG_TEXT_H

#include "base/bytes.h"

enum { CONFIG_NESTING = 2 }; // a section, and a list inside

struct config_fault {
    unsigned line; // from 1
    const char *reason;
};

/* Writes the cleaned text with a NUL behind it to `to` (text.size + 1 bytes), line for line as it
 * was. False at the first fault. */
bool config_text_clean(struct span text, char *to, struct config_fault *fault);

#endif
