/*
 * anchors.h - whom to trust for which host: the system's roots, and what extra_ca adds.
 *
 * Sets of roots are made once from texts that were handed in, and shared. Opens no file.
 */
#ifndef DEJUNK_PROXY_ANCHORS_H
#define DEJUNK_PROXY_ANCHORS_H

#include "proxy/proxy.h"
#include "proxy/settings.h"
#include "trust/verify.h"

struct anchors; // opaque

/* ERROR_CORRUPT, ERROR_CONFIG, ERROR_LIMIT for a file that holds no good certificates. */
enum error_kind anchors_new(struct anchors **out, const struct proxy_trust *trust,
                            struct error *error);
void anchors_free(struct anchors **anchors);

/* Borrowed until the anchors are freed; take a reference to keep them. The general extra_ca
 * counts for every host, besides that of every site section that fits. Files that were not handed
 * in are passed over. NULL where nothing is trusted. */
struct verify_roots *anchors_for(struct anchors *anchors, const struct settings *settings,
                                 struct span host);

#endif
