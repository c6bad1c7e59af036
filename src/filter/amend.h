/*
 * amend.h - what directives do to a URL, a cookie or a header: texts in, texts out.
 *
 * The matcher says which directives hold for a request (matcher_directives); this room knows what
 * their values mean. One for each thread, because it keeps the regular expressions that it
 * compiled, with limits on their steps. Every byte that a directive does not name stays.
 */
#ifndef DEJUNK_FILTER_AMEND_H
#define DEJUNK_FILTER_AMEND_H

#include "filter/match.h"

enum {
    AMEND_URL_BYTES = 64 * 1024,
};

struct amender; // opaque

struct amender *amender_new(void);
void amender_free(struct amender **amender);

/* Its expressions, for those who change other texts in the same thread. */
struct expressions *amender_expressions(struct amender *amender);

/* All removeparam and uritransform directives among these, in order, done to `url` (absolute).
 * True: something changed, and *out is the new URL. A uritransform is for path, query and fragment;
 * for the whole URL where its expression begins with "^http", or is empty: then the rule's own
 * stands behind a NUL in its value. */
bool amend_url(struct amender *amender, struct span url, const struct directive *directives,
               size_t count, struct buffer *out);

/* Where urlskip's steps lead from `url`: an http or https URL, or false. `is_blocked`: rules stop
 * it, so that only steps with "-blocked" among them lead anywhere. */
bool amend_skip(struct amender *amender, struct span url, struct span steps, bool is_blocked,
                struct buffer *out);
/* Is each of the steps one that there is? For the compiler of lists. */
bool amend_skip_is_good(struct span steps);

/* Does a cookie directive's value (empty: all, a name, or /regex/) name this cookie? */
bool amend_names_cookie(struct amender *amender, struct span value, struct span cookie_name);
/* A cookie directive that changes and does not remove: ";maxAge=60;sameSite=lax". */
struct cookie_change {
    bool has_max_age, has_same_site;
    uint64_t max_age_s;
    struct span same_site;
};
struct cookie_change amend_cookie_change(struct span value);
/* Does the expression in it compile, if it has one, and do its changes say something? For the
 * compiler of lists. */
bool amend_cookie_is_good(struct span value);

/* Takes a removeheader value apart: is it for the request, the field's name, and the expression
 * that its value must match (.at NULL: any). */
struct header_removal {
    bool from_request;
    struct span name, expression;
};
struct header_removal amend_header_removal(struct span value);
bool amend_matches(struct amender *amender, struct span expression, struct span text);

#endif
