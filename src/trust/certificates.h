/*
 * certificates.h - small things that several rooms do with X.509: read PEM, tell the time.
 */
#ifndef DEJUNK_TRUST_CERTIFICATES_H
#define DEJUNK_TRUST_CERTIFICATES_H

#include <openssl/x509.h>
#include <time.h>

#include "base/bytes.h"
#include "base/error.h"

enum { CERTIFICATES_CHAIN = 8 }; // in a chain of ours, or of a company

/* The certificates in a PEM text, in order; other blocks are passed over. ERROR_CONFIG where there
 * is none, ERROR_LIMIT beyond CERTIFICATES_CHAIN. Free with sk_X509_pop_free(). */
enum error_kind certificates_read(STACK_OF(X509) **out, struct span pem, struct error *error);

/* As PEM behind what is in `to`, which has room. */
void certificates_write(struct buffer *to, X509 *certificate);

/* Seconds since 1970; 0 for what is no time. */
time_t certificates_time(const ASN1_TIME *time);

#endif
