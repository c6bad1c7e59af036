#include "cli/secret.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/say.h"

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
static bool read_line(char line[SECRET_BYTES + 1], const sigset_t *blocked)
{
    size_t size = 0;
    char byte;
    ssize_t got;

    while ((got = read_byte(&byte, blocked)) == 1 && byte != '\n') {
        if (size == SECRET_BYTES || byte == '\0') {
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
static bool ask(const char *question, char line[SECRET_BYTES + 1])
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

/* "Password" for "password". */
static const char *as_question(char to[64], const char *what)
{
    snprintf(to, 64, "%c%s", what[0] - 32, what + 1);
    return to;
}

bool secret_get(char secret[SECRET_BYTES + 1], const char *what, bool is_new)
{
    char again[SECRET_BYTES + 1] = "", question[64];
    bool is_same;

    if (!isatty(STDIN_FILENO)) {
        if (read_line(secret, NULL) && secret[0])
            return true;
        if (errno == EMSGSIZE)
            say_error("the %s is longer than %d bytes, or has a NUL in it", what, SECRET_BYTES);
        else
            say_error("there is no %s on standard input", what);
        return false;
    }
    if (!ask(as_question(question, what), secret) || !secret[0]) {
        say_error("no %s was typed", what);
        return false;
    }
    if (!is_new)
        return true;
    if (!ask("The same again", again))
        again[0] = '\0';
    is_same = strcmp(secret, again) == 0;
    explicit_bzero(again, sizeof again);
    if (!is_same)
        say_error("the two were not the same");
    return is_same;
}
