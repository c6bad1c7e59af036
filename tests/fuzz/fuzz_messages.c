/* Messages between processes, and the sources that one of them brings: never a crash, and what is
 * taken encodes to the same packet again. The first byte says how many descriptors come along. */
#include <assert.h>
#include <stdlib.h>

#include "daemon/messages.h"
#include "daemon/parcel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const int fds[4] = { 0, 1, 2, 3 };
    struct config_sources sources;
    struct message message;
    struct error error;
    struct span bytes;

    if (size == 0)
        return 0;
    bytes = span_of((const char *)data + 1, size - 1);
    if (message_decode(&message, bytes, fds, data[0] & 3, &error) == ERROR_NONE) {
        char packet[MESSAGE_PACKET_BYTES];
        size_t again = message_encode(packet, &message);

        assert(again == bytes.size && memcmp(packet, bytes.at, again) == 0);
    }
    if (parcel_read_sources(&sources, bytes, &error) == ERROR_NONE) {
        size_t sum = 4;

        for (size_t i = 0; i < sources.count; i++)
            sum += 8 + sources.items[i].name.size + sources.items[i].text.size;
        assert(sum == bytes.size);
        config_sources_done(&sources);
    }
    return 0;
}
