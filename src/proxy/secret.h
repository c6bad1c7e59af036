/*
 * secret.h - names and numbers that sites see of us, other ones for each site.
 *
 * What is the same at two sites tells them that they have the same visitor. So whatever a page can
 * read and no site can make is made for its host with a secret of the installation (HMAC-SHA256),
 * which all of its processes share and keep over restarts: pages in caches carry such names.
 */
#ifndef DEJUNK_PROXY_SECRET_H
#define DEJUNK_PROXY_SECRET_H

#include "base/bytes.h"

enum { SECRET_KEY_BYTES = 32 };

struct secret {
    unsigned char key[SECRET_KEY_BYTES];
};

struct secret_mark {
    uint64_t high, low;
};

/* `use` keeps apart what is made of the same; `host` in lower case. About a microsecond. */
struct secret_mark secret_mark(const struct secret *secret, const char *use, struct span host,
                               uint64_t number);

#endif
