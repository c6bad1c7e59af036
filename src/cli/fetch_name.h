/*
 * fetch_name.h - from a URL to a file name that is safe in any directory.
 *
 * Bytes in, bytes out; knows no directory. A name never has a slash, a control, a byte that some
 * file system does not take, text that runs the other way, a dot or dash at its beginning, or a
 * name that means a device elsewhere; and it is short enough for what stands around it.
 */
#ifndef DEJUNK_CLI_FETCH_NAME_H
#define DEJUNK_CLI_FETCH_NAME_H

#include "base/bytes.h"

enum {
    FETCH_NAME_BYTES = 180, // of a name; numbered ones and those of temporaries are longer
    FETCH_NAME_ROOM = 256,
    FETCH_NAME_TRIES = 12, // names for one URL, fetch_name_try()
};

/* Of a path with its query ("/a/b%20c.html?d=e" is "b c_d=e.html"), into `to`, ended with NUL;
 * "index" where there is none. Returns its size. */
size_t fetch_name_of(char to[FETCH_NAME_ROOM], struct span path_and_query);

/* The `number`th name to try (from 0) for a URL: "a.txt", "a-2.txt" ... "a-9.txt", then names with
 * the URL's hash in them. */
void fetch_name_try(char to[FETCH_NAME_ROOM], const char *name, unsigned number, struct span url);

#endif
