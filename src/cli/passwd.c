/*
 * passwd.c - `dejunk passwd`: a password's hash, as it stands in a user section.
 */
#include <crypt.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "cli/commands.h"
#include "cli/say.h"
#include "cli/secret.h"
#include "state/config_value.h"

static int run(struct options *options)
{
    char password[SECRET_BYTES + 1], salt[CRYPT_GENSALT_OUTPUT_SIZE];
    struct crypt_data data = { 0 };
    const char *name, *hash = NULL;
    int letter;

    while ((letter = options_next(options)) > 0)
        continue;
    if (letter == OPTIONS_END_NOW || !options_count(options, 0, 1))
        return options->exit_code;
    name = options->argc > 0 ? options->argv[0] : NULL;
    if (name && (!config_is_user_name(span_text(name)) || strpbrk(name, "\"\\"))) {
        say_error("passwd: a user's name has no colons, quotes, backslashes or controls in it");
        return EX_USAGE;
    }
    if (!secret_get(password, "password", true))
        return EX_DATAERR;
    if (crypt_gensalt_rn("$y$", 0, NULL, 0, salt, sizeof salt))
        hash = crypt_r(password, salt, &data);
    explicit_bzero(password, sizeof password);
    if (!hash || hash[0] == '*') {
        say_error("cannot make a hash: %s", strerror(errno));
        return EX_OSERR;
    }
    if (name)
        printf("user \"%s\" {\n    password = \"%s\"\n}\n", name, hash);
    else
        printf("password = \"%s\"\n", hash);
    return say_finish();
}

const struct command command_passwd = {
    .name = "passwd",
    .help = "make a password's hash for a user section of the configuration",
    .arguments = "[NAME]",
    .about = "Asks for a password, or reads the first line of standard input, and prints the\n"
             "option `password` with its yescrypt hash; with NAME the whole user section.",
    .run = run,
};
