/*
 * stores.h - where this machine keeps the authorities it trusts, and how one gets in and out.
 *
 * The system's store by the distribution's own tool, and every NSS database of the person who
 * asks (Firefox, Chromium, Thunderbird, as snap and flatpak too), with certutil; under sudo the
 * databases of who called sudo, as that person. What is done is printed, line by line.
 */
#ifndef DEJUNK_CLI_STORES_H
#define DEJUNK_CLI_STORES_H

#include "base/bytes.h"

enum { STORES_SYSTEM = 1, STORES_BROWSERS = 2 }; // which

enum { STORES_DATABASES = 200, STORES_ID_BYTES = 16, STORES_NAME_BYTES = 200 };

struct store_certificate {
    struct span pem;              // for stores_trust()
    char id[STORES_ID_BYTES];     // of its file in the system's store: letters and digits
    char name[STORES_NAME_BYTES]; // in NSS databases
};

struct store_counts {
    unsigned done, failed, found; // found: databases there are
};

struct store_counts stores_trust(const struct store_certificate *certificate, unsigned which);
struct store_counts stores_untrust(const struct store_certificate *certificate, unsigned which);

#endif
