// Debian's libopenigtlink at the other end: `peer server PORT` sends images, `peer client PORT COUNT` takes COUNT messages
// of each kind and packs every one of them once more.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <unistd.h>

#include <igtlCapabilityMessage.h>
#include <igtlClientSocket.h>
#include <igtlImageMessage.h>
#include <igtlServerSocket.h>
#include <igtlStatusMessage.h>
#include <igtl_header.h>

static const int WIDTH = 640, HEIGHT = 480;

[[noreturn]] static void fail(const std::string &why) {
    fprintf(stderr, "%s\n", why.c_str());
    exit(1);
}

// Images of a pattern that moves, and in between a message that is none.
static void serve(int port) {
    auto server = igtl::ServerSocket::New();
    if (server->CreateServer(port) != 0) fail("the port is taken");
    for (int n = 0;;) {
        igtl::ClientSocket::Pointer client = server->WaitForConnection(100);
        if (client.IsNull()) continue;
        for (;; n++) {
            auto status = igtl::StatusMessage::New();
            status->SetDeviceName("Scanner");
            status->SetCode(igtl::StatusMessage::STATUS_OK);
            status->Pack();
            auto image = igtl::ImageMessage::New();
            image->SetDimensions(WIDTH, HEIGHT, 1);
            image->SetSpacing(0.125f, 0.25f, 1.0f);
            image->SetScalarTypeToUint8();
            image->SetDeviceName("Scanner");
            auto now = igtl::TimeStamp::New();
            now->GetTime();
            image->SetTimeStamp(now);
            image->AllocateScalars();
            auto *pixels = static_cast<unsigned char *>(image->GetScalarPointer());
            for (int y = 0; y < HEIGHT; y++)
                for (int x = 0; x < WIDTH; x++) pixels[y * WIDTH + x] = x + 2 * y + n;
            image->Pack();
            if (!client->Send(status->GetPackPointer(), status->GetPackSize()) ||
                !client->Send(image->GetPackPointer(), image->GetPackSize()))
                break;
            usleep(33000);
        }
        client->CloseSocket();
    }
}

// Bytes of a message as they came, and as the library packs what it read out of them.
static void same(const std::vector<unsigned char> &came, igtl::MessageBase *packed, const std::string &what) {
    if (packed->GetPackSize() != (int)came.size()) fail(what + ": it has another size");
    auto *bytes = static_cast<unsigned char *>(packed->GetPackPointer());
    for (size_t i = 0; i < came.size(); i++)
        if (bytes[i] != came[i]) fail(what + ": byte " + std::to_string(i) + " differs");
}

template <class M>
static typename M::Pointer unpack(igtl::MessageHeader *header, const std::vector<unsigned char> &came) {
    auto message = M::New();
    message->SetMessageHeader(header);
    message->AllocatePack();
    memcpy(message->GetPackBodyPointer(), came.data() + IGTL_HEADER_SIZE, came.size() - IGTL_HEADER_SIZE);
    // 1: the checksum is compared.
    if (!(message->Unpack(1) & igtl::MessageHeader::UNPACK_BODY))
        fail(std::string(header->GetDeviceType()) + ": the library refuses its body or its checksum");
    return message;
}

static void take(int port, int count) {
    auto socket = igtl::ClientSocket::New();
    if (socket->ConnectToServer("127.0.0.1", port) != 0) fail("nobody answers");
    auto ask = igtl::GetCapabilityMessage::New();
    ask->SetDeviceName("peer");
    ask->Pack();
    socket->Send(ask->GetPackPointer(), ask->GetPackSize());
    std::map<std::string, int> seen;
    for (int pattern = -1; seen["NervelightImage"] < count || seen["NervelightMask"] < count || seen["CAPABILITY"] < 1;) {
        auto header = igtl::MessageHeader::New();
        header->InitPack();
        std::vector<unsigned char> came(IGTL_HEADER_SIZE);
        if (socket->Receive(header->GetPackPointer(), IGTL_HEADER_SIZE) != IGTL_HEADER_SIZE) fail("it left");
        memcpy(came.data(), header->GetPackPointer(), IGTL_HEADER_SIZE);
        header->Unpack();
        const int body = header->GetBodySizeToRead();
        came.resize(IGTL_HEADER_SIZE + body);
        if (socket->Receive(came.data() + IGTL_HEADER_SIZE, body) != body) fail("it left within a message");
        const std::string type = header->GetDeviceType(), device = header->GetDeviceName();
        auto time = igtl::TimeStamp::New();
        header->GetTimeStamp(time);
        unsigned int seconds, fraction;
        header->GetTimeStamp(&seconds, &fraction);
        if (type == "IMAGE") {
            auto image = unpack<igtl::ImageMessage>(header, came);
            int size[3], offset[3], part[3];
            float spacing[3];
            igtl::Matrix4x4 matrix;
            image->GetDimensions(size);
            image->GetSubVolume(part, offset);
            image->GetSpacing(spacing);
            image->GetMatrix(matrix);
            auto again = igtl::ImageMessage::New();
            again->SetDeviceName(device.c_str());
            again->SetTimeStamp(seconds, fraction);
            again->SetDimensions(size);
            again->SetSubVolume(part, offset);
            again->SetSpacing(spacing);
            again->SetMatrix(matrix);
            again->SetScalarType(image->GetScalarType());
            again->SetEndian(image->GetEndian());
            again->SetCoordinateSystem(image->GetCoordinateSystem());
            again->AllocateScalars();
            memcpy(again->GetScalarPointer(), image->GetScalarPointer(), image->GetSubVolumeImageSize());
            again->Pack();
            same(came, again, device);
            if (size[0] != WIDTH || size[1] != HEIGHT || size[2] != 1) fail(device + ": it has another size");
            if (spacing[0] != 0.125f || spacing[1] != 0.25f) fail(device + ": it has another spacing");
            auto *pixels = static_cast<unsigned char *>(image->GetScalarPointer());
            if (device == "NervelightImage") {
                pattern = pixels[0];
                for (int y = 0; y < HEIGHT; y++)
                    for (int x = 0; x < WIDTH; x++)
                        if (pixels[y * WIDTH + x] != (unsigned char)(x + 2 * y + pattern)) fail("pixels differ");
            }
        } else if (type == "STATUS") {
            auto status = unpack<igtl::StatusMessage>(header, came);
            auto again = igtl::StatusMessage::New();
            again->SetDeviceName(device.c_str());
            again->SetTimeStamp(seconds, fraction);
            again->SetCode(status->GetCode());
            again->SetSubCode(status->GetSubCode());
            again->SetErrorName(status->GetErrorName());
            again->SetStatusString(status->GetStatusString());
            again->Pack();
            same(came, again, "STATUS");
            printf("STATUS %d %s: %s\n", status->GetCode(), status->GetErrorName(), status->GetStatusString());
        } else if (type == "CAPABILITY") {
            auto capability = unpack<igtl::CapabilityMessage>(header, came);
            auto again = igtl::CapabilityMessage::New();
            again->SetDeviceName(device.c_str());
            again->SetTimeStamp(seconds, fraction);
            std::vector<std::string> types;
            for (int i = 0; i < capability->GetNumberOfTypes(); i++) types.push_back(capability->GetType(i));
            again->SetTypes(types);
            again->Pack();
            same(came, again, "CAPABILITY");
        }
        seen[type == "IMAGE" ? device : type]++;
    }
    for (auto &kind : seen) printf("%s %d\n", kind.first.c_str(), kind.second);
}

int main(int count, char **arguments) {
    const std::string what = count > 2 ? arguments[1] : "";
    if (what == "server") serve(atoi(arguments[2]));
    if (what == "client" && count > 3) take(atoi(arguments[2]), atoi(arguments[3]));
    return what == "client" ? 0 : 2;
}
