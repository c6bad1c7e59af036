/*
 * page_late.h - elements that scripts add to a page after it came: the script that we put in, and
 * the answers to what it asks.
 *
 * The script sends the classes and ids it has not seen before, as numbers, to a path of the
 * page's own origin that nobody else uses; the proxy answers it itself and nothing goes to the
 * origin. The path has a name made for the host with this installation's secret, so that no two
 * sites see the same, and a second one of the generation of the rules, so that a page can be cached
 * with its script, and an answer too.
 *
 *     /.well-known/dejunk/NAME/GENERATION/?g           rules that no class or id leads to
 *     /.well-known/dejunk/NAME/GENERATION/?1x9.4zz     rules for these
 */
#ifndef DEJUNK_PROXY_PAGE_LATE_H
#define DEJUNK_PROXY_PAGE_LATE_H

#include "base/bytes.h"
#include "proxy/page_rules.h"
#include "proxy/secret.h"

enum { PAGE_LATE_PATH_BYTES = 80 };

/* The path for a host under these rules, with its NUL; `to` is returned as a span. */
struct span page_late_path(char to[PAGE_LATE_PATH_BYTES], const struct secret *secret,
                           struct span host, const struct page_rules *rules);
/* Cheap: could it be such a path? */
bool page_late_may_be(struct span path_and_query);
/* The style sheet for a request to that path, into `to`. False: it is none of ours. */
bool page_late_answer(struct page_rules *rules, const struct secret *secret, struct span host,
                      struct span path_and_query, struct buffer *to);

/* The script's text, for a page that asks at this path. */
bool page_late_script(struct buffer *to, struct span path);
/* The newest version of the script, as a number: pages in caches depend on it. */
uint64_t page_late_version(void);

#endif
