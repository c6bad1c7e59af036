/*
 * front.h - the page at http://dejunk/ and at the port itself: how the service is.
 *
 * One page and one style sheet, no script; whatever came from elsewhere is escaped.
 */
#ifndef DEJUNK_ADMIN_FRONT_H
#define DEJUNK_ADMIN_FRONT_H

#include "admin/overview.h"

/* For the page's Content-Security-Policy. */
#define FRONT_POLICY                                                                               \
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "                  \
    "frame-ancestors 'none'"

/* `who` is the client's address, `user` its name (may be empty). False when `out` is full. */
bool front_write(struct buffer *out, const struct overview *overview, struct span who,
                 struct span user);
struct span front_style(void);

#endif
