"""Which view answers at which address."""

from django.urls import path
from recordings import views

urlpatterns = [
    path("", views.index, name="index"),
    path("upload", views.upload, name="upload"),
    path("live", views.live, name="live"),
    path("upload-async", views.upload_async, name="upload_async"),
    path("recordings/<int:key>", views.detail, name="detail"),
]
