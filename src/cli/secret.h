/*
 * secret.h - asking a person for a password, or reading it from standard input.
 *
 * On a terminal it is asked for twice (or once, where it is known already) and not shown; else it
 * is the first line of standard input. Mistakes are told to standard error here.
 */
#ifndef DEJUNK_CLI_SECRET_H
#define DEJUNK_CLI_SECRET_H

#include <stdbool.h>

enum { SECRET_BYTES = 511 }; // crypt(5) takes no more

/* `what` is its word: "password". Wipe it after. */
bool secret_get(char secret[SECRET_BYTES + 1], const char *what, bool is_new);

#endif
