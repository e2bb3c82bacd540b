"""A sample's streams as a nuScenes recording, so that its labels can be written as tables.

A manifest says how its sensors stand to each other, and not where the vehicle was. The vehicle's frame is therefore put
into the LiDAR's, and the global frame as well: every ``ego_pose`` is the identity. Labels come back as they were; what
follows objects in the global frame sees them move with the vehicle.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

from services.alignment.extrinsics import transform_between
from services.alignment.geometry import Floats, quaternion_from_matrix
from services.contracts.annotations import Annotation
from services.contracts.labels_spatial import Cuboid, SpatialTrack
from services.contracts.labels_visual import Track
from services.contracts.manifest import SampleManifest, Stream
from services.errors import InvalidInputError
from services.formats.nuscenes_recording import Keyframe, Pose, Recording, Sensor, SensorModality, Shot
from services.formats.nuscenes_writer import NuscenesExport, made_token, write_nuscenes
from services.formats.result import Dropped

_MODALITIES: dict[str, SensorModality] = {"image": "camera", "video": "camera", "lidar": "lidar", "radar": "radar"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_IDENTITY = (1.0, 0.0, 0.0, 0.0)
_STEP_S = 0.5


def recording_of(
    manifest: SampleManifest, *, lidar: str, annotations: tuple[Annotation, ...] | None = None
) -> tuple[Recording, tuple[Dropped, ...]]:
    """Return the recording of a sample, and what of its streams it does not hold.

    Args:
        manifest: The sample.
        lidar: Id of the stream that has the cuboids.
        annotations: Its labels, those of the manifest by default: they tell how many frames there are.

    A frame is a keyframe. Where the LiDAR has no clock, keyframes are 0.5 s apart from ``captured_at``, or 1970, on.

    Raises:
        InvalidInputError: There is no such LiDAR or radar stream.
    """
    streams = {stream.id: stream for stream in manifest.streams}
    if lidar not in streams or streams[lidar].modality not in ("lidar", "radar"):
        raise InvalidInputError(f"the sample has no LiDAR stream {lidar!r}; name the one that has the cuboids")
    dropped = [Dropped(lidar, "ego_pose", "the sample does not say where the vehicle was; it is written as standing")]
    labels = manifest.annotations if annotations is None else annotations
    count = max([1, *(_frames(stream) for stream in manifest.streams), *(_last_frame(label) + 1 for label in labels)])
    start = manifest.captured_at or _EPOCH
    times = _times(streams[lidar], count, start)
    if times is None:
        dropped.append(Dropped(lidar, "timestamps", f"no clock says when; frames are written {_STEP_S} s apart"))
        times = [_microseconds(start + timedelta(seconds=_STEP_S * frame)) for frame in range(count)]
    sensors = {}
    for stream in manifest.streams:
        pose = transform_between(manifest, dst_stream=lidar, src_stream=stream.id)
        modality = "lidar" if stream.id == lidar else _MODALITIES.get(stream.modality)
        if modality is None or pose is None:
            why = "it is no sensor of a vehicle" if modality is None else f"no extrinsics lead from it to {lidar}"
            dropped.append(Dropped(stream.id, stream.modality, why))
            continue
        if modality == "camera" and (stream.calibration is None or stream.calibration.intrinsics is None):
            dropped.append(Dropped(stream.id, stream.modality, "a camera needs intrinsics"))
            continue
        if stream.calibration is not None and (stream.calibration.distortion or stream.calibration.model == "fisheye"):
            dropped.append(Dropped(stream.id, "distortion", "images of nuScenes have none; undistort them"))
        own = _times(stream, count, start) or times
        sensors[stream.id] = _sensor(manifest.sample_id, stream, modality, pose, own)
    recording = Recording(
        token=made_token("scene", manifest.sample_id),
        name=manifest.sample_id,
        description="",
        log={},
        keyframes=tuple(
            Keyframe(made_token("sample", manifest.sample_id, str(frame)), time_us)
            for frame, time_us in enumerate(times)
        ),
        sensors=sensors,
    )
    return recording, tuple(dropped)


def write_sample(
    manifest: SampleManifest, annotations: tuple[Annotation, ...], *, lidar: str | None = None
) -> NuscenesExport:
    """Return a sample as tables of one scene, and what they do not hold.

    Args:
        manifest: What was recorded.
        annotations: The labels.
        lidar: Id of the stream that has the cuboids; the LiDAR or radar with the most cuboids if left out.

    Raises:
        InvalidInputError: There is no such LiDAR or radar stream, or none at all.
    """
    if lidar is None:
        counts = Counter(label.stream for label in annotations if isinstance(label, Cuboid))
        spatial = [stream.id for stream in manifest.streams if stream.modality in ("lidar", "radar")]
        if not spatial:
            raise InvalidInputError(
                f"{manifest.sample_id} has no LiDAR stream, and nuScenes' tables hold cuboids of one; "
                "write boxes of images as another format"
            )
        lidar = max(spatial, key=lambda name: counts[name])
    recording, dropped = recording_of(manifest, lidar=lidar, annotations=annotations)
    export = write_nuscenes([(recording, annotations)], lidar=lidar)
    return replace(export, dropped=(*dropped, *export.dropped))


def _sensor(sample: str, stream: Stream, modality: SensorModality, pose: Floats, times: list[int]) -> Sensor:
    x, y, z = pose[:3, 3].tolist()
    qw, qx, qy, qz = quaternion_from_matrix(pose[:3, :3]).tolist()
    mounting = Pose(made_token("calibrated_sensor", sample, stream.id), (x, y, z), (qw, qx, qy, qz))
    intrinsics = None if stream.calibration is None else stream.calibration.intrinsics
    name = PurePosixPath((stream.uri or "").split("?")[0]).name
    shots = {}
    for frame, time_us in enumerate(times):
        token = made_token("sample_data", sample, stream.id, str(frame))
        ending = {"camera": ".jpg", "lidar": ".pcd.bin", "radar": ".pcd"}[modality]
        file = name if name and len(times) == 1 else f"{frame:06d}{ending}"
        shots[frame] = Shot(
            token=token,
            filename=f"samples/{stream.id}/{file}",
            timestamp_us=time_us,
            size_px=stream.image_size_px,
            ego_pose=Pose(token, (0.0, 0.0, 0.0), _IDENTITY, time_us),
            mounting=mounting,
            intrinsics=intrinsics or (),
        )
    return Sensor(made_token("sensor", stream.id, modality), stream.id, modality, shots)


def _frames(stream: Stream) -> int:
    return len(stream.clock.timestamps) if stream.clock is not None else 0


def _last_frame(label: Annotation) -> int:
    if isinstance(label, SpatialTrack):
        return max(place.frame for place in label.cuboids)
    if isinstance(label, Track):
        return max(place.frame for place in label.boxes)
    return label.frame or 0


def _times(stream: Stream, count: int, start: datetime) -> list[int] | None:
    """Return the times of a stream's frames, microseconds of Unix time; None where its clock does not say them."""
    clock = stream.clock
    if clock is None:
        return None
    begin = clock.start or start
    if clock.rate_hz is not None:
        return [_microseconds(begin + timedelta(seconds=frame / clock.rate_hz)) for frame in range(count)]
    if len(clock.timestamps) < count:
        return None
    return [
        _microseconds(time if isinstance(time, datetime) else begin + timedelta(seconds=time))
        for time in clock.timestamps[:count]
    ]


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)
