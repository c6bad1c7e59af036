/*
 * doctype.h - what a doctype says, and whether browsers then show the page in quirks mode.
 *
 * HTML sections 13.2.5.53 to 13.2.5.68 (the tokenizer's states) and 13.2.6.4.1 (the mode).
 */
#ifndef DEJUNK_HTML_DOCTYPE_H
#define DEJUNK_HTML_DOCTYPE_H

#include "base/bytes.h"

struct doctype { // spans are views of the token, as written
    struct span name, public_id, system_id;
    bool has_public_id, has_system_id;
    bool is_correct; // not "force quirks"
};

/* `token` is a TOKEN_DOCTYPE's bytes; its end may be missing. */
void doctype_read(struct span token, struct doctype *doctype);

/* Class names and ids are then compared without case, and a table does not close a p. */
bool doctype_is_quirky(const struct doctype *doctype);

#endif
