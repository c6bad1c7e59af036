/*
 * passwd.c - `dejunk passwd`: a password's hash, as it stands in a user section.
 */
#include <crypt.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/say.h"
#include "state/config_value.h"

enum { PASSWORD_BYTES = 511 }; // crypt(5) takes no more

/* read(2) of one byte; signals outside of `blocked` get in only while it waits. */
static ssize_t read_byte(char *byte, const sigset_t *blocked)
{
    struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };

    if (blocked && ppoll(&input, 1, NULL, blocked) < 0)
        return -1;
    return read(STDIN_FILENO, byte, 1);
}

/* One line of standard input without its end. False at the end of the input, when it is too long
 * or has a NUL in it, and when a signal came (errno EINTR). */
static bool read_line(char line[PASSWORD_BYTES + 1], const sigset_t *blocked)
{
    size_t size = 0;
    char byte;
    ssize_t got;

    while ((got = read_byte(&byte, blocked)) == 1 && byte != '\n') {
        if (size == PASSWORD_BYTES || byte == '\0') {
            errno = EMSGSIZE;
            return false;
        }
        line[size++] = byte;
    }
    line[size] = '\0';
    if (got == 0)
        errno = 0;
    return got == 1 || (got == 0 && size > 0);
}

static volatile sig_atomic_t caught; // only while a password is typed

static void note(int number)
{
    caught = number;
}

/* Asks on the terminal, without showing what is typed. Signals that would end us wait until the
 * terminal shows what is typed again. */
static bool ask(const char *question, char line[PASSWORD_BYTES + 1])
{
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
    enum { SIGNALS = sizeof signals / sizeof *signals };
    struct sigaction before[SIGNALS], during = { .sa_handler = note };
    struct termios shown, hidden;
    sigset_t blocked, usual;
    bool is_read;

    if (tcgetattr(STDIN_FILENO, &shown) != 0)
        return false;
    caught = 0;
    sigemptyset(&during.sa_mask);
    sigemptyset(&blocked);
    for (int i = 0; i < SIGNALS; i++) {
        sigaction(signals[i], &during, &before[i]);
        if (before[i].sa_handler == SIG_IGN) // as nohup(1) wants it
            sigaction(signals[i], &before[i], NULL);
        sigaddset(&blocked, signals[i]);
    }
    sigprocmask(SIG_BLOCK, &blocked, &usual);
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    fprintf(stderr, "%s: ", question);
    is_read = read_line(line, &usual);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    fputc('\n', stderr);
    for (int i = 0; i < SIGNALS; i++)
        sigaction(signals[i], &before[i], NULL);
    sigprocmask(SIG_SETMASK, &usual, NULL);
    if (caught)
        raise(caught);
    return is_read;
}

static bool get_password(char password[PASSWORD_BYTES + 1])
{
    char again[PASSWORD_BYTES + 1] = "";
    bool is_same;

    if (!isatty(STDIN_FILENO)) {
        if (read_line(password, NULL) && password[0])
            return true;
        say_error(errno == EMSGSIZE ? "the password is longer than %d bytes, or has a NUL in it"
                                    : "there is no password on standard input",
                  PASSWORD_BYTES);
        return false;
    }
    if (!ask("Password", password) || !password[0]) {
        say_error("no password was typed");
        return false;
    }
    if (!ask("The same again", again))
        again[0] = '\0';
    is_same = strcmp(password, again) == 0;
    explicit_bzero(again, sizeof again);
    if (!is_same)
        say_error("the two were not the same");
    return is_same;
}

static int run(struct options *options)
{
    char password[PASSWORD_BYTES + 1], salt[CRYPT_GENSALT_OUTPUT_SIZE];
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
    if (!get_password(password))
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
