/* Lines of the control socket: never a crash, and what is taken keeps its promises. */
#include <assert.h>
#include <stdlib.h>

#include "admin/control_line.h"
#include "admin/passbook.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_inside(struct span part, struct span whole)
{
    return part.size == 0 || (part.at >= whole.at && part.at + part.size <= whole.at + whole.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span line = span_of((const char *)data, size);
    struct control_request request;
    struct passbook *book;
    struct error error;

    if (control_parse(&request, line, &error) != ERROR_NONE)
        return 0;
    assert(size <= CONTROL_LINE_BYTES);
    assert(is_inside(request.host, line) && is_inside(request.client, line));
    assert(request.for_ms <= CONTROL_LONGEST_MS ||
           (request.for_ms == CONTROL_ALWAYS_MS && request.verb == CONTROL_ALLOW));
    book = passbook_new();
    if (request.verb == CONTROL_ALLOW &&
        passbook_give(book, request.host, request.client, 1, &error) == ERROR_NONE)
        assert(passbook_take_back(book, request.host, request.client));
    assert(passbook_view(book).count == 0);
    passbook_free(&book);
    return 0;
}
